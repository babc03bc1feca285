from __future__ import annotations

import numpy as np
import pytest

from bankwise.strategies.solver import merge as module
from bankwise.strategies.solver.merge import front, merge


def everything(costs, scores):
    return np.ones(len(costs), bool)


def states(rng, count, largest, start=0):
    return front(start + rng.integers(0, largest, count), rng.integers(0, largest, count).astype(float))


def test_front_keeps_the_best_score_of_each_cost_that_nothing_cheaper_has():
    rng = np.random.default_rng(0)
    for _ in range(200):
        costs, scores = rng.integers(0, 9, 20), rng.integers(0, 9, 20).astype(float)
        expected, best = [], -np.inf
        for cost in range(9):
            here = max(scores[costs == cost], default=-np.inf)
            if here > best:
                expected.append((cost, here))
                best = here
        assert list(zip(*front(costs, scores), strict=True)) == expected


@pytest.mark.parametrize("form", ["sparse", "grouped", "dense"])
def test_merge_is_the_front_of_all_sums_within_capacity(form, monkeypatch):
    if form == "grouped":
        monkeypatch.setattr(module, "MOST_CANDIDATES", 16)
    if form == "dense":
        monkeypatch.setattr(module, "BLOCK", 7)
        monkeypatch.setattr(module, "CELLS_PER_STATE", 10**6)
    rng = np.random.default_rng(1)
    for _ in range(150):
        costs, scores = states(rng, 15, 40, start=int(rng.integers(0, 9)))
        layer_costs, layer_scores = states(rng, 8, 30)
        layer_costs, layer_scores = layer_costs - layer_costs[0], layer_scores - layer_scores[0]
        capacity = int(rng.integers(costs[-1], 90))
        sums, totals = np.add.outer(costs, layer_costs).ravel(), np.add.outer(scores, layer_scores).ravel()
        expected = front(sums[sums <= capacity], totals[sums <= capacity])
        found = merge(costs, scores, layer_costs, layer_scores, capacity, everything)
        for left, right in zip(found, expected, strict=True):
            assert left.tolist() == right.tolist()
