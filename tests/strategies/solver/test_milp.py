from __future__ import annotations

import numpy as np
import pytest

from search_space.errors import BankwiseError, InfeasibleBudget
from strategies.solver import Problem, solve, solve_many


def test_optimum_equals_enumeration_and_infeasible_is_seen(problems, plans_of):
    infeasible = 0
    for i, (first, _, rng) in enumerate(problems(400, seed=2, layers=4, choices=4)):
        r = 1 + i % 3
        costs = tuple(np.column_stack([c] + [rng.integers(0, 99, len(c)) for _ in range(r - 1)]) for c in first.costs)
        problem = Problem(costs, first.scores)
        plans = plans_of(problem)
        budgets = [
            int(rng.integers(low, high + 1)) for low, high in zip(plans.costs.min(0), plans.costs.max(0), strict=True)
        ]
        fits = (plans.costs <= budgets).all(1)
        if not fits.any():
            infeasible += 1
            with pytest.raises(InfeasibleBudget, match=f"all {r} budgets"):
                solve_many(problem, budgets)
            continue
        solution = solve_many(problem, budgets)
        picked = np.stack([c[i] for c, i in zip(costs, solution.indices, strict=True)]).sum(0)
        assert (picked <= budgets).all() and picked[0] == solution.cost
        assert solution.score == pytest.approx(plans.scores[fits].max(), abs=1e-7)
    assert infeasible > 5


def test_one_budget_agrees_with_the_programme(large):
    problem = large(1, layers=12, choices=40)
    assert solve_many(problem, [40_000]).score == pytest.approx(solve(problem, 40_000).score, rel=1e-9)


def test_impossible_and_miscounted_budgets_say_which():
    problem = Problem((np.array([[1, 50], [9, 3]]),), (np.array([0.0, 1.0]),), ("stem",))
    with pytest.raises(InfeasibleBudget, match=r"budget 2 of 2: the cheapest needs 3, given 2; .*stem: 3"):
        solve_many(problem, [9, 2])
    with pytest.raises(InfeasibleBudget, match=r"all 2 budgets \[8, 10\] at once"):
        solve_many(problem, [8, 10])
    with pytest.raises(BankwiseError, match="1 budgets for 2 costs"):
        solve_many(problem, [9])
    with pytest.raises(BankwiseError, match="whole number"):
        solve_many(problem, [9, 2.5])
