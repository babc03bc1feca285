"""The C functions of `kernels.c`, and which of them a network needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from bankwise.search_space.errors import unknown

_BLOCK = re.compile(r"^/\* block (\w+):([ \w]*)\*/\n", re.MULTILINE)


@cache
def _blocks(activations: str) -> dict[str, tuple[tuple[str, ...], str]]:
    """The blocks by name, in their order: those that each needs, and its text. With int8 activations those of `int8.c`
    take the place of the others of their name."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for file in ("kernels.c",) if activations == "float32" else ("kernels.c", "int8.c"):
        text = files(__package__).joinpath(file).read_text(encoding="utf-8")
        _, *blocks = _BLOCK.split(text)
        for name, needs, body in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True):
            found[name] = (tuple(needs.split()), body.rstrip())
    return found


def kernels(names: Iterable[str], activations: str = "float32") -> str:
    """The text of the blocks `names` and of all that they need, in an order in which C takes them: each after those
    that it needs.

    Raises BankwiseError for a name, as a family may say it, that is no block's.
    """
    blocks, taken = _blocks(activations), dict[str, str]()

    def take(name: str) -> None:
        if name not in blocks:
            raise unknown("function of C", name, blocks)
        if name not in taken:
            for needed in blocks[name][0]:
                take(needed)
            taken[name] = blocks[name][1]

    for name in sorted(names):
        take(name)
    return "\n\n".join(taken.values())
