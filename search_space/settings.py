"""What the layers of a network may be: the settings of a search space."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bankwise.search_space import strict
from bankwise.search_space.errors import BankwiseError, short, unknown
from bankwise.search_space.families import FAMILIES, family_of, kinds_of
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.vector import VECTOR_BITS, VECTORS

# Those of the hidden layers where nobody says them: up to so many bits of budget a weight. More could not be spent.
USUAL = (
    (1.0, ("stacked", "binary")),
    (3.0, ("stacked", "sparse", "binary", "int2", "int4")),
    (math.inf, ("stacked", "binary", "int2", "int3", "int4", "int5", "int6", "int7", "int8")),
)
# Of depthwise layers, whatever the bits: they are a few hundred weights each, and each of them weighs much.
DEPTHWISE = ("stacked", "sparse", "binary", "int2", "int3", "int4", "int5", "int6", "int8")
VECTORS_USUAL = ("v8", "v4", "s4")  # likewise: those that paid in results/vectors
HELP = f"{kinds_of(FAMILIES)}, or a family of your own as package.module:Name"


@dataclass(frozen=True)
class SpaceSettings:
    """What layers may be. `first` and `last` are the first and last layer of the network, `hidden` the others;
    `layers` overrides them by name pattern. Each lists kinds: those of `bankwise.search_space.families.KINDS`, or a
    family of the user's own as `package.module:Name`, which is imported. `hidden` None: those of `USUAL`, by
    the bits that a budget has for each weight (`within`), without a budget those of the smallest. `depthwise` are the
    kinds of the hidden layers whose filters see one channel each; None: `DEPTHWISE` where `hidden` is not said, else
    those of `hidden`.
    `max_k` bounds the bank, `tiles` the kernel splits (empty: every tile that divides the kernel), `keep` are patterns
    of modules left in floating point and outside the search, `vector_bits` the bits of folded batch norms, scales and
    biases. `vectors` are the ways in which each layer may store its own instead, of
    `bankwise.search_space.vector.VECTORS`; empty: as `vector_bits` say. None: those of `VECTORS_USUAL` within a budget,
    unless `vector_bits` are other than 8.

    Raises:
        BankwiseError: an unknown kind, none at all, or a value that cannot be.

    >>> SpaceSettings(hidden=("stacked", "int4"), max_k=64).hidden
    ('stacked', 'int4')
    """

    hidden: tuple[str, ...] | None = None
    first: tuple[str, ...] = ("stacked", "binary", "int4", "int8")
    last: tuple[str, ...] = ("stacked", "binary", "int4", "int8")
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_k: int = 256
    tiles: tuple[tuple[int, int], ...] = ()
    keep: tuple[str, ...] = ()
    vector_bits: int = 8
    vectors: tuple[str, ...] | None = None
    depthwise: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        listed = [self.among, self.first, self.last, *self.layers.values()]
        for kinds in listed if self.depthwise is None else (*listed, self.depthwise):
            if not kinds:
                raise BankwiseError(f"a layer needs at least one kind of: {HELP}")
            for kind in kinds:
                family_of(kind)
        if self.max_k < 2:
            raise BankwiseError(f"max_k={self.max_k} leaves no bank; it must be at least 2")
        for tile in self.tiles:
            if len(tile) != 2 or min(tile) < 1:
                raise BankwiseError(f"tiles: {tile!r} is not (height, width) of a kernel split, such as (1, 3)")
        if self.vector_bits not in VECTOR_BITS:
            raise BankwiseError(f"vector_bits: {self.vector_bits!r} is not one of {VECTOR_BITS}")
        for name in self.vectors or ():
            if name not in VECTORS:
                raise unknown("storage of vectors", name, VECTORS)

    @property
    def among(self) -> tuple[str, ...]:
        """The kinds of the hidden layers."""
        return USUAL[0][1] if self.hidden is None else self.hidden

    def within(self, budget: float, shape: NetworkShape) -> SpaceSettings:
        """The same, with the kinds and the storage of vectors that are usual for that many bytes where none are said.

        >>> from bankwise.search_space.trace import shape_of
        >>> SpaceSettings().within(9000, shape_of("tiny", (1, 8, 8), 10)).hidden
        ('stacked', 'sparse', 'binary', 'int2', 'int4')
        """
        hidden, vectors, depthwise = self.hidden, self.vectors, self.depthwise
        if hidden is None and shape.weights:
            bits = 8 * budget / shape.weights
            hidden = next(kinds for most, kinds in USUAL if bits <= most)
            if depthwise is None and any(map(is_depthwise, shape.layers)):
                depthwise = DEPTHWISE
        if vectors is None and self.vector_bits == 8:
            vectors = VECTORS_USUAL
        return dataclasses.replace(self, hidden=hidden, vectors=vectors, depthwise=depthwise)

    @property
    def decided(self) -> SpaceSettings:
        """The same, with nothing left for a budget to decide."""
        return dataclasses.replace(self, hidden=self.among, vectors=self.vectors or ())

    @property
    def listed(self) -> tuple[str, ...]:
        """Every kind that some layer may be."""
        return (
            *self.among,
            *self.first,
            *self.last,
            *(self.depthwise or ()),
            *(kind for kinds in self.layers.values() for kind in kinds),
        )

    def kinds(self, index: int, shape: NetworkShape) -> tuple[str, ...]:
        """Those of layer number `index`."""
        for pattern, kinds in self.layers.items():
            if fnmatch.fnmatchcase(shape.layers[index].name, pattern):
                return kinds
        if index == len(shape.layers) - 1:
            return self.last
        if index == 0:
            return self.first
        return self.depthwise if self.depthwise and is_depthwise(shape.layers[index]) else self.among

    def to_dict(self) -> dict[str, Any]:
        """As `from_dict` reads it: lists, numbers and texts, for YAML and JSON."""
        values: dict[str, Any] = strict.to_dict(self)
        return values | {"tiles": [f"{height}x{width}" for height, width in self.tiles]}

    @classmethod
    def from_dict(cls, values: object) -> SpaceSettings:
        """Read any of the fields, strictly. Kinds and patterns are lists, or one text with commas; tiles are [1, 3] or
        such as 1x3.

        Raises:
            BankwiseError: a foreign key, or a value that is not what its key takes.
        """
        values = strict.plain(values, "space")
        if isinstance(values, dict):
            listed = ("hidden", "depthwise", "first", "last", "keep", "vectors")
            values |= {name: _words(values[name]) for name in listed if name in values}
            if isinstance(values.get("layers"), dict):
                values["layers"] = {pattern: _words(kinds) for pattern, kinds in values["layers"].items()}
            if "tiles" in values:
                words = _words(values["tiles"])
                values["tiles"] = [_tile(word) for word in words] if isinstance(words, list) else words
        return strict.read(cls, values, "space")


def is_depthwise(layer: LayerShape) -> bool:
    """Whether every filter sees one channel of several."""
    return layer.c == 1 and layer.groups > 1


def _words(value: object) -> object:
    """One text with commas as a list; anything else is left to the reader."""
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


def _tile(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", value)
    if match is None:
        raise BankwiseError(f"space tiles: {short(value)} is not HEIGHTxWIDTH, such as 3x3 or 1x3")
    return [int(match[1]), int(match[2])]
