from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from bankwise.strategies.solver.dominance import efficient
from bankwise.strategies.solver.hull import Steps, hull


def rising(rng, m):
    costs, scores = rng.integers(0, 50, m), rng.random(m)
    kept = efficient(costs, scores)
    return costs[kept] - costs[kept[0]], scores[kept] - scores[kept[0]]


def test_hull_lies_above_every_choice_and_bends_down():
    rng = np.random.default_rng(1)
    for _ in range(300):
        costs, scores = rising(rng, 12)
        kept = hull(costs, scores)
        assert kept[0] == 0 and kept[-1] == len(costs) - 1
        assert (np.interp(costs, costs[kept], scores[kept]) >= scores - 1e-12).all()
        slopes = np.diff(scores[kept]) / np.diff(costs[kept])
        assert (np.diff(slopes) < 0).all()


def test_relaxed_bound_is_the_value_of_the_linear_programme():
    rng = np.random.default_rng(2)
    for _ in range(40):
        layers = [rising(rng, 6) for _ in range(4)]
        costs, scores = zip(*layers, strict=True)
        capacity = int(rng.integers(0, sum(int(row[-1]) for row in costs) + 3))
        steps = Steps.of(costs, scores)
        for first in range(4):
            taken, score, bound = steps.suffix(first).bounds(np.array([capacity]))
            flat, gains = np.concatenate(costs[first:]), np.concatenate(scores[first:])
            owner = np.repeat(np.arange(4 - first), [len(row) for row in costs[first:]])
            exact = linprog(
                -gains, flat[None], [capacity], np.equal.outer(np.arange(4 - first), owner), np.ones(4 - first)
            )
            assert bound[0] == pytest.approx(-exact.fun, abs=1e-9)
            assert score[0] <= bound[0] + 1e-12
        places = steps.plan(4, int(steps.suffix(0).bounds(np.array([capacity]))[0][0]))
        assert sum(int(row[i]) for row, i in zip(costs, places, strict=True)) <= capacity
