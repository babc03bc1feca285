"""Which plans the benchmark trains: as many drawn uniformly from all that fit as near the closed form's optimum."""

from __future__ import annotations

import numpy as np

from bankwise.strategies import BudgetedSpace
from bankwise.strategies.portfolio import families
from bankwise.strategies.scores import importances, log_capture

ORIGINS = ("random", "near")
REPEATED = 8  # of as many pairs of plans one pair is trained with every seed
SEEDS = 3
TRIES = 64


def origin(number: int) -> str:
    return ORIGINS[number % 2]


def seeds(number: int) -> range:
    """The seeds by which plan `number` is trained."""
    return range(SEEDS if (number // 2) % REPEATED == 0 else 1)


def draw(space: BudgetedSpace, number: int, known: set[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Plan `number`, a function of the space and the number but for plans that are `known`; None where all are."""
    rng = np.random.default_rng((17, number))
    for _ in range(TRIES):
        indices = space.sample(rng) if origin(number) == "random" else near(space, rng)
        plan = tuple(int(i) for i in indices)
        if plan not in known:
            return plan
    return None


def near(space: BudgetedSpace, rng: np.random.Generator) -> np.ndarray:
    """The optimum of a disturbed closed form: importances of layers, worths of families in each layer and scores of
    choices are moved by normal deviates, each of a scale of its own from small to large; in every third plan one layer
    is redrawn among all choices besides, and the others are completed."""
    spread, worth, noise = np.exp(rng.uniform(np.log((0.1, 0.1, 0.03)), np.log((1.0, 1.0, 0.5))))
    scores = []
    for row, family, importance in zip(log_capture(space), families(space), importances(space), strict=True):
        moved = row + rng.normal(0, noise, len(row))
        for one in np.unique(family):
            moved[family == one] += rng.normal(0, worth)
        scores.append(np.exp(importance + rng.normal(0, spread)) * moved)
    if rng.random() < 1 / 3:
        layer = int(rng.integers(len(scores)))
        spare = space.capacity - sum(int(row.min()) for i, row in enumerate(space.costs) if i != layer)
        scores[layer][rng.choice(np.flatnonzero(space.costs[layer] <= spare))] += 1e3
    return space.solve(scores)
