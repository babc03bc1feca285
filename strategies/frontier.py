"""The choices of each layer worth looking at: those no other choice beats in cost and closed-form score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import Scores, log_capture

LEAST = -1e3  # the score of a choice that was not looked at: taken only if nothing else fits


def frontier(
    space: BudgetedSpace, scores: Scores, most: int | None = None, apart: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Indices of the Pareto-efficient choices of each layer, by rising cost; at most `most`, spread over the costs.

    With `apart`, of every layer the group of each choice, a choice is compared with those of its group alone.
    """
    found = []
    for layer, (costs, row) in enumerate(zip(space.costs, scores, strict=True)):
        order = np.lexsort((-row, costs))
        groups = np.zeros(len(row)) if apart is None else apart[layer]
        keep = np.concatenate([_rising(row, order[groups[order] == group]) for group in np.unique(groups)])
        keep = keep[np.argsort(costs[keep], kind="stable")]
        if most is not None and len(keep) > most:
            spread = np.interp(
                np.linspace(0, 1, most),
                np.linspace(0, 1, len(keep)),
                np.arange(len(keep)),
            )
            keep = keep[np.unique(spread.round().astype(int))]
        found.append(keep)
    return found


def _rising(row: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Those of `order` whose score is above all before them."""
    best = np.maximum.accumulate(row[order])
    return np.asarray(order[np.concatenate([[True], best[1:] > best[:-1]])])


def scatter(sizes: tuple[int, ...], kept: list[np.ndarray], values: list[np.ndarray]) -> Scores:
    """Scores of all choices from those of the kept ones; the others get LEAST."""
    table = [np.full(size, LEAST) for size in sizes]
    for row, indices, found in zip(table, kept, values, strict=True):
        row[indices] = found
    return table


def cut_to_frontier(space: BudgetedSpace, most: int) -> BudgetedSpace:
    """The space of about `most` efficient choices a layer: those no other beats in cost and closed-form score, spread
    over the costs, and that of the best plan by those scores, so that some plan always keeps all limits."""
    scores = log_capture(space)
    best = space.solve(scores)
    return space.cut([np.union1d(row, i) for row, i in zip(frontier(space, scores, most), best, strict=True)])
