"""What the layers of a uniform plan, one setting everywhere as in the papers, have in common. A family names its rule.

A setting maps every layer to the index of one of its choices, or to None where it has none that suits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.families.bank import BankChoice

Setting = list[int | None]
Rows = Sequence[Sequence[tuple[int, Any]]]  # of every layer its choices of one family, with their indices
BankRow = dict[tuple[int, int], list[tuple[int, "BankChoice"]]]  # by tile


class UniformRule(ABC):
    """`alone`: a choice is a setting by itself, and layers that have no choice of another setting may take it.
    `completed`: layers without a choice of the setting all take one such other choice."""

    alone: ClassVar[bool] = False
    completed: ClassVar[bool] = False

    @abstractmethod
    def settings(self, rows: Rows, layers: Sequence[LayerShape]) -> Iterator[Setting]:
        """The settings of one family; some may be equal."""


class SameChoice(UniformRule):
    """One choice for every layer, such as all binary or all int8."""

    alone = True

    def settings(self, rows: Rows, layers: Sequence[LayerShape]) -> Iterator[Setting]:
        tables = [{choice: index for index, choice in row} for row in rows]
        for choice in dict.fromkeys(choice for table in tables for choice in table):
            yield [table.get(choice) for table in tables]


@dataclass(frozen=True)
class SameNumber(UniformRule):
    """One number for all, the field `name`: the largest choice up to it, or else the smallest."""

    name: str
    completed = True

    def settings(self, rows: Rows, layers: Sequence[LayerShape]) -> Iterator[Setting]:
        numbers = [[(getattr(choice, self.name), index) for index, choice in row] for row in rows]
        for wanted in sorted({number for row in numbers for number, _ in row}):
            yield [_at_most(row, wanted) for row in numbers]


def _at_most(row: list[tuple[int, int]], wanted: int) -> int | None:
    fitting = [pair for pair in row if pair[0] <= wanted]
    return max(fitting)[1] if fitting else min(row)[1] if row else None


class SameBank(UniformRule):
    """(k, s, split) for all layers, k and s either the same numbers or the same fractions of each layer's n and c (the
    papers' k = n/2, s = c/4), cut to what a layer can take; any further fields, such as bits and terms, alike."""

    def settings(self, rows: Rows, layers: Sequence[LayerShape]) -> Iterator[Setting]:
        alike: dict[tuple[Any, ...], list[BankRow]] = {}
        for layer, row in enumerate(rows):
            for index, choice in row:
                further = tuple(
                    getattr(choice, field.name) for field in fields(choice) if field.name not in ("k", "s", "tile")
                )
                banks = alike.setdefault(further, [{} for _ in rows])[layer]
                banks.setdefault(choice.tile, []).append((index, choice))
        for row_of_layer in alike.values():
            columns = [_column(row, layer) for row, layer in zip(row_of_layer, layers, strict=True)]
            yield from map(list, dict.fromkeys(zip(*columns, strict=True)))


def _column(row: BankRow, layer: LayerShape) -> list[int | None]:
    """What every setting of sizes and splits is in one layer."""
    wanted = [size(layer) for size in _SIZES]
    by_tile = {tile: _Banks(row[tile]) for tile in {split(layer) for split in _SPLITS} if tile in row}
    splits = [by_tile.get(split(layer)) for split in _SPLITS]
    return [None if banks is None else banks.closest(k, s) for k, s in wanted for banks in splits]


class _Banks:
    """The bank choices of one layer and split, by s and then k."""

    def __init__(self, choices: Sequence[tuple[int, BankChoice]]):
        self.by_size: dict[int, list[tuple[int, int]]] = {}
        for index, choice in choices:
            self.by_size.setdefault(choice.s, []).append((choice.k, index))
        for banks in self.by_size.values():
            banks.sort()
        self.sizes = sorted(self.by_size)

    def closest(self, k: int, s: int) -> int:
        """The choice with s and then k cut to what the layer allows; the smallest where all are larger."""
        banks = self.by_size[self.sizes[max(0, bisect_right(self.sizes, s) - 1)]]
        return banks[max(0, bisect_right(banks, k, key=lambda bank: bank[0]) - 1)][1]


_POWERS = [2**i for i in range(1, 13)]
_SIZES: list[Callable[[LayerShape], tuple[int, int]]] = [  # the wanted (k, s) of a layer
    *(lambda layer, k=k, s=s: (k, s) for k in _POWERS for s in _POWERS[:9] + [1]),
    *(
        lambda layer, a=a, b=b: (max(2, layer.n // a), max(1, layer.c // b))
        for a in (1, 2, 4, 8, 16, 32)
        for b in (1, 2, 4, 8, 16, 32)
    ),
]
_SPLITS: tuple[Callable[[LayerShape], tuple[int, int]], ...] = (
    lambda layer: layer.kernel,
    lambda layer: (1, layer.kernel[1]),
    lambda layer: (layer.kernel[0], 1),
    lambda layer: (1, 1),
)
