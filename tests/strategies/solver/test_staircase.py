from __future__ import annotations

import numpy as np
import pytest

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.strategies.solver import solve, staircase


def rises(steps):
    return all(a.cost < b.cost and a.score < b.score for a, b in zip(steps, steps[1:], strict=False))


def test_every_step_is_the_optimum_of_its_cost_and_the_ends_are_there(problems):
    for problem, plans, _ in problems(300, seed=3, layers=4):
        steps = staircase(problem, points=12)
        assert rises(steps) and len(steps) <= 12
        assert steps[0].cost == plans.costs.min()
        assert steps[-1].score == pytest.approx(plans.scores.max(), abs=1e-9)
        for step in steps:
            assert step.score == pytest.approx(plans.best(step.cost), abs=1e-9)
            assert step.cost == plans.cheapest(step.cost)


def test_given_budgets_are_solved_exactly(problems):
    for problem, plans, rng in problems(200, seed=4, layers=4):
        budgets = rng.integers(plans.costs.min(), plans.costs.max() + 1, 6).tolist()
        steps = staircase(problem, budgets)
        assert rises(steps)
        for budget in budgets:
            best = max(step.score for step in steps if step.cost <= budget)
            assert best == pytest.approx(plans.best(budget), abs=1e-9)


def test_large_staircase_is_dense_and_exact(large):
    problem = large(2)
    steps = staircase(problem, points=60)
    assert rises(steps) and 50 <= len(steps) <= 60
    for step in steps[::10]:
        again = solve(problem, step.cost)
        assert (again.cost, again.score) == (step.cost, pytest.approx(step.score, rel=1e-12))
    assert np.diff(np.log([step.cost for step in steps])).max() < 0.4


def test_bad_requests(large):
    with pytest.raises(BankwiseError, match="points 1"):
        staircase(large(2), points=1)
    with pytest.raises(InfeasibleBudget, match="given 1 bytes"):
        staircase(large(2), budgets=[100_000, 1])
