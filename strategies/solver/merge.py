"""One step of the Pareto dynamic programme: sums of states and choices, dominated sums dropped.

A state is a cost and the best score of any plan at that cost; states rise strictly in both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MOST_CANDIDATES = 1 << 20  # sums formed at once by sorting: bounds the memory
CELLS_PER_STATE = 16  # a cell of the dense form is about so much cheaper than a sorted sum
BLOCK = 1 << 14  # cells of the dense form at once: stays in the processor's cache

Keep = Callable[[np.ndarray, np.ndarray], np.ndarray]


def front(costs: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The undominated of any (cost, score) pairs, rising strictly in both."""
    order = np.argsort(costs, kind="stable")
    costs, scores = costs[order], scores[order]
    keep = np.ones(len(costs), bool)
    keep[1:] = scores[1:] > np.maximum.accumulate(scores)[:-1]
    costs, scores = costs[keep], scores[keep]
    last = np.ones(len(costs), bool)
    last[:-1] = costs[1:] > costs[:-1]  # of equal costs the last is the best
    return costs[last], scores[last]


def merge(
    costs: np.ndarray, scores: np.ndarray, layer_costs: np.ndarray, layer_scores: np.ndarray, capacity: int, keep: Keep
) -> tuple[np.ndarray, np.ndarray]:
    """States (cost, score) after one more layer, within `capacity`; `keep(costs, scores)` tells those worth sorting.

    All costs are int64. Sorted sums where states are sparse, one cell a cost where they are dense.
    """
    span = min(capacity, int(costs[-1]) + int(layer_costs[-1])) - int(costs[0]) + 1
    sums = len(costs) * len(layer_costs)
    if sums > BLOCK and span < CELLS_PER_STATE * len(costs):
        return _dense(costs, scores, layer_costs, layer_scores, span)
    if sums <= MOST_CANDIDATES:
        return _sparse(costs, scores, layer_costs, layer_scores, capacity, keep)
    group = max(1, MOST_CANDIDATES // len(costs))
    found = costs[:0], scores[:0]
    for i in range(0, len(layer_costs), group):
        part = _sparse(costs, scores, layer_costs[i : i + group], layer_scores[i : i + group], capacity, keep)
        found = front(*(np.concatenate(pair) for pair in zip(found, part, strict=True)))
    return found


def _sparse(
    costs: np.ndarray, scores: np.ndarray, layer_costs: np.ndarray, layer_scores: np.ndarray, capacity: int, keep: Keep
) -> tuple[np.ndarray, np.ndarray]:
    # one run of rising costs a choice: a stable sort merges runs cheaply
    sums = (layer_costs[:, None] + costs).ravel()
    totals = (layer_scores[:, None] + scores).ravel()
    worth = keep(sums, totals)
    worth &= sums <= capacity
    return front(sums[worth], totals[worth])


def _dense(
    costs: np.ndarray, scores: np.ndarray, layer_costs: np.ndarray, layer_scores: np.ndarray, span: int
) -> tuple[np.ndarray, np.ndarray]:
    first = int(costs[0])
    before = np.full(span, -np.inf)
    inside = costs - first < span
    before[costs[inside] - first] = scores[inside]
    after = np.full(span, -np.inf)
    sums = np.empty(min(BLOCK, span))
    choices = list(zip(layer_costs.tolist(), layer_scores.tolist(), strict=True))
    for start in range(0, span, BLOCK):
        stop = min(start + BLOCK, span)
        for cost, score in choices:
            if cost >= stop:
                break
            low = max(start, cost)
            part = np.add(before[low - cost : stop - cost], score, out=sums[: stop - low])
            np.maximum(after[low:stop], part, out=after[low:stop])
    best = np.maximum.accumulate(after)
    keep = np.isfinite(after)
    keep[1:] &= after[1:] > best[:-1]
    found = np.flatnonzero(keep)
    return found + first, after[found]
