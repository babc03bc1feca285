"""Dominance pruning: a choice that another one equals or betters in cost and score is never needed."""

from __future__ import annotations

import numpy as np


def efficient(costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Indices of the undominated choices of one layer, strictly increasing in cost and score.

    Costs and scores are (m,). Of equal choices the first stays.
    """
    order = np.lexsort((-scores, costs))
    ranked = scores[order]
    keep = np.ones(len(order), bool)
    keep[1:] = ranked[1:] > np.maximum.accumulate(ranked)[:-1]
    return order[keep]


def undominated(costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The same for costs (m, r) in several budgets: indices, ascending, by comparing all pairs."""
    values = np.column_stack([costs, -scores])
    no_worse = (values[:, None, :] <= values[None, :, :]).all(2)  # [a, b]: a is no worse than b anywhere
    equal = no_worse & no_worse.T
    dominated = (no_worse & ~equal) | np.triu(equal, 1)  # of equal choices the first stays
    return np.flatnonzero(~dominated.any(0))
