"""The baseline: one setting for every layer, as the papers do.

What layers have in common each family's `uniform` rule says: (k, s, split) for banks, one number for tiled and sub-bit
layers, the choice itself for others, such as all-binary or all-int4. Layers that can have no sub-bit choice, such as
1x1 ones, all take one other choice. The first and last layers, which the papers leave alone, each take one of their
other kinds, or follow the setting. Plans come in the order of their summed closed-form score, so the first few are the
best uniform plans to be had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from bankwise.search_space.families import Choice
from bankwise.search_space.families.uniform_rule import Setting
from bankwise.search_space.shape import LayerShape
from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import log_capture, totals


class Uniform(Strategy):
    name = "uniform"

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.ranked = ranked(space)

    def _propose(self) -> np.ndarray | None:
        known = set(self.asked)
        return next((np.array(plan) for plan in self.ranked if plan not in known), None)


@lru_cache(maxsize=4)
def ranked(space: BudgetedSpace) -> tuple[tuple[int, ...], ...]:
    """The feasible uniform plans, the best by `log_capture` first."""
    plans = np.array(sorted({tuple(indices) for indices in uniform_plans(space)}), int).reshape(-1, len(space.sizes))
    plans = plans[space.keeping(plans)]
    best_first = np.argsort(-totals(log_capture(space), plans), kind="stable")
    return tuple(map(tuple, plans[best_first].tolist()))


def uniform_plans(space: BudgetedSpace) -> Iterator[list[int]]:
    """Every uniform plan of the space, feasible or not, as indices."""
    layers = space.space.shape.layers
    every = [space.choices(i) for i in range(len(layers))]
    for said in dict.fromkeys(choice.vectors for row in every for choice in row):  # of vectors: alike in all layers
        places = [[j for j, one in enumerate(row) if one.vectors == said] or range(len(row)) for row in every]
        rows = [[row[j].bare for j in of] for row, of in zip(every, places, strict=True)]
        for plan in _alike(rows, layers):
            yield [of[j] for of, j in zip(places, plan, strict=True)]


def _alike(rows: Sequence[Sequence[Choice]], layers: Sequence[LayerShape]) -> Iterator[list[int]]:
    ends = {0, len(layers) - 1}
    free = {i: [j for j, choice in enumerate(rows[i]) if choice.uniform.alone] for i in ends}
    for setting in settings(rows, layers):
        options = [
            sorted({index for index in (setting[i], *free.get(i, ())) if index is not None}) for i in range(len(layers))
        ]
        if not all(options):
            continue
        for head in options[0]:
            for tail in options[-1] if len(layers) > 1 else [head]:
                middle = [options[i][0] for i in range(1, len(layers) - 1)]
                yield [head, *middle, tail] if len(layers) > 1 else [head]


def settings(rows: Sequence[Sequence[Choice]], layers: Sequence[LayerShape]) -> Iterator[Setting]:
    """The settings of every family in `rows`, of each layer the index of a choice or None."""
    alone: list[Setting] = []
    completed: list[Setting] = []
    for family in dict.fromkeys(type(choice) for row in rows for choice in row):
        own = [[(j, choice) for j, choice in enumerate(row) if type(choice) is family] for row in rows]
        for setting in family.uniform.settings(own, layers):
            yield setting
            if family.uniform.alone:
                alone.append(setting)
            elif family.uniform.completed and None in setting:
                completed.append(setting)
    for setting in completed:
        for other in alone:
            yield [j if i is None else i for i, j in zip(setting, other, strict=True)]
