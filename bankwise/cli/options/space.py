"""What a layer may be: the options and their group."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from bankwise.cli.groups import given
from bankwise.cli.options.general import AllowCode

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings

_SPACE = "What a layer may be"

Space = Annotated[
    Path | None,
    Option(
        help="YAML with any of: hidden, depthwise, first, last, layers, max_k, tiles, keep, vector_bits, vectors.",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]
_KINDS = "KIND[,KIND]"
_ENDS = "stacked,binary,int4,int8"
_HIDDEN = "stacked,binary; from 1 bit of budget a weight sparse, int2, int4 too, from 3 int2 to int8"


def _kinds(which: str, usual: str):
    return Option(
        metavar=_KINDS,
        help=f"Kinds {which} may be: [kinds]. Default: {usual}.",
        rich_help_panel=_SPACE,
        show_default=False,
    )


First = Annotated[str | None, _kinds("the first layer", _ENDS)]
Hidden = Annotated[str | None, _kinds("the layers between", _HIDDEN)]
Last = Annotated[str | None, _kinds("the last layer", _ENDS)]
Keep = Annotated[
    list[str] | None,
    Option(
        metavar="PATTERN",
        help="Modules kept in floating point, outside the search (may be repeated).",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]
VectorBits = Annotated[
    int | None,
    Option(
        help="Bits of the folded batch norms, scales and biases: 4, 8 (default), 16 or 32.",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]
Vectors = Annotated[
    str | None,
    Option(
        metavar="WAY[,WAY]",
        help="How each layer may store scales and shifts: v32, v16, v8, v4 (bits), s8, s4 (one scale a layer), p8, p4 "
        "(scales to powers of two). Within a budget v8,v4,s4 where nothing is said.",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]


@dataclass(frozen=True)
class SpaceOptions:
    """What a layer may be."""

    space: Space = None
    first: First = None
    hidden: Hidden = None
    last: Last = None
    keep: Keep = None
    vector_bits: VectorBits = None
    vectors: Vectors = None
    allow_code: AllowCode = False

    def settings(self) -> SpaceSettings:
        """The file's settings, overridden by the options that are given."""
        from bankwise.cli.settings import make_space

        return make_space(self.space, given(self, "space", "allow_code"), self.allow_code)
