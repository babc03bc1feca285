from __future__ import annotations

import numpy as np
import pytest

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.strategies.solver import project


def test_nearest_plan_equals_enumeration(problems):
    for problem, plans, rng in problems(800, seed=9):
        budget = int(rng.integers(plans.costs.min(), plans.costs.max() + 1))
        wish = np.array([rng.integers(len(row)) for row in problem.costs])
        found = project(problem.costs, wish, budget)
        assert found.cost == problem.solution(found.indices).cost <= budget
        if problem.solution(wish).cost <= budget:
            assert found.indices.tolist() == wish.tolist()
            continue
        away = [
            np.where(row == row[w], 0.5 * (np.arange(len(row)) != w), abs(row - row[w]))
            for row, w in zip(problem.costs, wish, strict=True)
        ]
        total = sum(row[column] for row, column in zip(away, plans.indices.T, strict=True))
        assert -found.score == pytest.approx(total[plans.costs <= budget].min(), abs=1e-9)


def test_layers_that_keep_their_cost_keep_their_choice():
    costs = (np.array([4, 4, 4]), np.array([1, 9]))
    assert project(costs, np.array([1, 1]), 5).indices.tolist() == [1, 0]


def test_large_wish_over_the_budget_is_met_to_the_byte(large):
    problem = large(4)
    wish = np.array([int(row.argmax()) for row in problem.costs])
    budget = 100_000
    found = project(problem.costs, wish, budget)
    assert found.cost == budget  # sums are dense there, so the nearest plan spends everything


def test_bad_wishes_name_the_layer():
    costs = (np.array([1, 2]), np.array([3]))
    with pytest.raises(BankwiseError, match=r"'b': choice 1 is not in 0\.\.0"):
        project(costs, np.array([0, 1]), 9, names=("a", "b"))
    with pytest.raises(BankwiseError, match="each of 2 layers"):
        project(costs, np.array([0]), 9)
    with pytest.raises(BankwiseError, match="each of 2 layers"):
        project(costs, np.array([0.0, 0.0]), 9)
    with pytest.raises(InfeasibleBudget, match="b: 3, a: 1"):
        project(costs, np.array([0, 0]), 3, names=("a", "b"))
