"""The baseline: one setting for every layer, as the papers do.

A setting is (k, s, split) for all layers with a bank, with k and s either the same numbers or the same fractions of
each layer's n and c (the paper's k = n/2, s = c/4), cut to what a layer can take; sparse layers have their bits and
terms in common too. Tiled and sub-bit layers have p or tau in common, cut likewise; layers that can have none of these,
such as 1x1 ones beside sub-bit layers, all take one other choice. All-binary or all-int4 is a setting as well. The
first and last layers, which the papers leave alone, each take one of their other kinds, or follow the setting. Asked
plans come in the order of their summed closed-form score, so the first few are the best uniform plans to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache

import numpy as np

from search_space.basis import Choice, Subbit, Tiled
from search_space.basis.bank import BankChoice
from search_space.shape import LayerShape
from strategies.base import Strategy
from strategies.budgeted import BudgetedSpace
from strategies.scores import log_capture, total

Rule = Callable[[LayerShape], tuple[int, int]]  # the wanted (k, s) of a layer
NUMBERED = {Tiled: "p", Subbit: "tau"}  # families with one number to have in common
Banks = dict[tuple[int, int], list[tuple[int, BankChoice]]]  # by tile: (index in the layer's row, choice)


class Uniform(Strategy):
    name = "uniform"

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.ranked = ranked(space)

    def _propose(self) -> np.ndarray | None:
        known = set(self.asked)
        return next((np.array(plan) for plan in self.ranked if plan not in known), None)


def ranked(space: BudgetedSpace) -> list[tuple[int, ...]]:
    """The feasible uniform plans, the best by `log_capture` first."""
    scores = log_capture(space)
    plans = {tuple(indices) for indices in uniform_plans(space)}
    scored = [(total(scores, plan), plan) for plan in plans if space.fits(plan)]
    return [plan for _, plan in sorted(scored, key=lambda pair: (-pair[0], pair[1]))]


def uniform_plans(space: BudgetedSpace) -> Iterator[list[int]]:
    """Every uniform plan of the space, feasible or not, as indices."""
    layers = space.space.shape.layers
    rows = [space.choices(i) for i in range(len(layers))]
    ends = {0, len(layers) - 1}
    fixed = {i: [j for j, choice in enumerate(rows[i]) if _plain(choice)] for i in ends}
    for setting in [*_bank_settings(rows, layers), *_numbered_settings(rows), *_plain_settings(rows)]:
        options = [sorted({setting[i], *(fixed[i] if i in ends else [])} - {None}) for i in range(len(layers))]
        if any(not option for option in options):
            continue
        first, last = options[0], options[-1]
        for head in first:
            for tail in last if len(layers) > 1 else [head]:
                middle = [setting[i] for i in range(1, len(layers) - 1)]
                yield [head, *middle, tail] if len(layers) > 1 else [head]


def _plain(choice: Choice) -> bool:
    """Whether the choice is a setting by itself."""
    return not isinstance(choice, (BankChoice, *NUMBERED))


def _plain_settings(rows: list[list[Choice]]) -> Iterator[list[int | None]]:
    """One choice for every layer, such as all binary or all int8."""
    for choice in dict.fromkeys(c for row in rows for c in row if _plain(c)):
        yield [row.index(choice) if choice in row else None for row in rows]


def _numbered_settings(rows: list[list[Choice]]) -> Iterator[list[int | None]]:
    """One p of tiled, or tau of sub-bit layers, for all; layers without any take one other choice in common."""
    plain = list(_plain_settings(rows))
    for family, name in NUMBERED.items():
        offered = [[(getattr(c, name), j) for j, c in enumerate(row) if isinstance(c, family)] for row in rows]
        for wanted in sorted({number for row in offered for number, _ in row}):
            setting = [_at_most(row, wanted) for row in offered]
            yield setting
            if None in setting:
                yield from ([j if i is None else i for i, j in zip(setting, other, strict=True)] for other in plain)


def _at_most(row: list[tuple[int, int]], wanted: int) -> int | None:
    """The index of the largest number up to `wanted`, or else of the smallest; None of none."""
    fitting = [pair for pair in row if pair[0] <= wanted]
    return max(fitting)[1] if fitting else min(row)[1] if row else None


def _bank_settings(rows: list[list[Choice]], layers: tuple[LayerShape, ...]) -> Iterator[list[int | None]]:
    """For every kind of bank: stacked, and sparse of each (bits, terms, coefficient bits)."""
    kinds: dict[tuple, list[Banks]] = {}
    for layer, row in enumerate(rows):
        for i, choice in enumerate(row):
            if isinstance(choice, BankChoice):
                banks = kinds.setdefault(_kind(choice), [{} for _ in rows])[layer]
                banks.setdefault(choice.tile, []).append((i, choice))
    for banks in kinds.values():
        yield from _settings(banks, layers)


def _kind(choice: BankChoice) -> tuple:
    return type(choice), *(getattr(choice, name) for name in _further_fields(type(choice)))


@cache
def _further_fields(family: type[BankChoice]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(family) if field.name not in ("k", "s", "tile"))


def _settings(rows: list[Banks], layers: tuple[LayerShape, ...]) -> Iterator[list[int | None]]:
    powers = [2**i for i in range(1, 13)]
    rules: list[Rule] = [lambda layer, k=k, s=s: (k, s) for k in powers for s in powers[:9] + [1]]
    rules += [
        lambda layer, a=a, b=b: (max(2, layer.n // a), max(1, layer.c // b))
        for a in (1, 2, 4, 8, 16, 32)
        for b in (1, 2, 4, 8, 16, 32)
    ]
    tilings: tuple[Callable[[LayerShape], tuple[int, int]], ...] = (
        lambda layer: layer.kernel,
        lambda layer: (1, layer.kernel[1]),
        lambda layer: (layer.kernel[0], 1),
        lambda layer: (1, 1),
    )
    for rule in rules:
        for tiling in tilings:
            yield [_closest(row.get(tiling(layer)), *rule(layer)) for row, layer in zip(rows, layers, strict=True)]


def _closest(fitting: list[tuple[int, BankChoice]] | None, k: int, s: int) -> int | None:
    """Of the choices of one split that with s and then k cut to what the layer allows; None without one."""
    if not fitting:
        return None
    sizes = {c.s for _, c in fitting}
    s = max((size for size in sizes if size <= s), default=min(sizes))
    banks = [(c.k, i) for i, c in fitting if c.s == s]
    return max((pair for pair in banks if pair[0] <= k), default=min(banks))[1]
