from __future__ import annotations

import numpy as np
import pytest

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.strategies.solver import Problem, solve

COSTS, SCORES = (
    (np.array([5, 900]), np.array([40, 7]), np.array([2000]), np.array([30])),
    (
        np.array([0.0, 1.0]),
        np.array([0.0, 1.0]),
        np.array([0.0]),
        np.array([0.0]),
    ),
)


def test_infeasible_budget_says_what_is_needed_given_and_the_largest_layers():
    problem = Problem(COSTS, SCORES, ("stem", "mid", "deep", "head"))
    with pytest.raises(InfeasibleBudget) as error:
        solve(problem, 2041)
    assert str(error.value) == (
        "no plan fits the budget: the cheapest needs 2,042 bytes, given 2,041 bytes; "
        "the layers that need most: deep: 2,000, head: 30, mid: 7"
    )
    assert error.value.exit_code == 3
    assert solve(problem, 2042).cost == 2042


def test_infeasible_budget_names_unnamed_layers_by_number():
    with pytest.raises(InfeasibleBudget, match=r"layer 2: 2,000, layer 3: 30, layer 1: 7$"):
        solve(Problem(COSTS, SCORES), -1)


@pytest.mark.parametrize(
    ("costs", "scores", "names", "said"),
    [
        ([], [], (), "0 layers"),
        ([np.array([1])], [], (), "'scores': 0"),
        ([np.array([1])], [np.array([1.0])], ("a", "b"), "'names': 2"),
        ([np.array([1, 2])], [np.array([1.0])], ("a",), r"'a'.*\(2,\).*\(1,\)"),
        ([np.array([], int)], [np.array([])], ("a",), "at least one choice"),
        ([np.array([1.5])], [np.array([1.0])], ("a",), "float64"),
        ([np.array([True])], [np.array([1.0])], ("a",), "bool"),
        ([np.array([-3])], [np.array([1.0])], ("a",), "cost -3"),
        ([np.array([2**60])], [np.array([1.0])], ("a",), str(2**60)),
        ([np.array([1])], [np.array([-np.inf])], ("a",), "score -inf"),
        ([np.array([1])], [np.array([np.nan])], ("a",), "score nan"),
        ([np.array([[1, 2]]), np.array([1])], [np.array([1.0])] * 2, (), "differing width"),
    ],
)
def test_bad_problems_are_one_clear_line(costs, scores, names, said):
    with pytest.raises(BankwiseError, match=said) as error:
        Problem(tuple(costs), tuple(scores), names)
    assert "\n" not in str(error.value)


def test_a_budget_is_a_whole_number_and_several_costs_need_solve_many():
    problem = Problem((np.array([1]),), (np.array([1.0]),))
    with pytest.raises(BankwiseError, match="2048.0: need a whole number"):
        solve(problem, 2048.0)
    with pytest.raises(BankwiseError, match="2 costs a choice: use solve_many"):
        solve(Problem((np.array([[1, 2]]),), (np.array([1.0]),)), 5)


def test_integer_scores_and_unsigned_costs_are_taken_as_they_are():
    solution = solve(Problem((np.array([3, 1], np.uint8),), (np.array([2, 1]),)), np.int32(2))
    assert (solution.indices.tolist(), solution.cost, solution.score) == ([1], 1, 1.0)
