"""The choices of each layer worth looking at: those no other choice beats in cost and closed-form score."""

from __future__ import annotations

import numpy as np

from strategies.budgeted import BudgetedSpace
from strategies.scores import Scores

LEAST = -1e3  # the score of a choice that was not looked at: taken only if nothing else fits


def frontier(space: BudgetedSpace, scores: Scores, most: int | None = None) -> list[np.ndarray]:
    """Indices of the Pareto-efficient choices of each layer, by rising cost; at most `most`, spread over the costs."""
    found = []
    for costs, row in zip(space.costs, scores, strict=True):
        order = np.lexsort((-row, costs))
        reached = np.maximum.accumulate(row[order])
        keep = order[np.concatenate([[True], reached[1:] > reached[:-1]])]
        if most is not None and len(keep) > most:
            spread = np.interp(
                np.linspace(0, 1, most),
                np.linspace(0, 1, len(keep)),
                np.arange(len(keep)),
            )
            keep = keep[np.unique(spread.round().astype(int))]
        found.append(keep)
    return found


def scatter(sizes: tuple[int, ...], kept: list[np.ndarray], values: list[np.ndarray]) -> Scores:
    """Scores of all choices from those of the kept ones; the others get LEAST."""
    table = [np.full(size, LEAST) for size in sizes]
    for row, indices, found in zip(table, kept, values, strict=True):
        row[indices] = found
    return table
