"""Several budgets at once, by mixed-integer programming (HiGHS through scipy)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import block_diag, csr_array

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.strategies.solver.dominance import undominated
from bankwise.strategies.solver.problem import Problem, Solution, check_budget, whole
from bankwise.strategies.solver.stdout import clean_stdout

SCALE = 1e4  # sum of the layers' score ranges: HiGHS stops within 1e-6 of the optimum, so within 1e-10 of this
LARGEST = 1e6  # of a budget's coefficients: HiGHS takes 1e15 for infinity, and its tolerances are absolute
MOST = 2**53  # what the dearest plan costs is below it: floats are exact up to there


def solve_many(problem: Problem, budgets: Sequence[int]) -> Solution:
    """The plan of largest total score whose r total costs are each at most `budgets` (r,).

    `problem.costs[i]` are (m_i, r), or (m_i,) for r = 1. Integer sums are checked after the solver, which works in
    floating point: a plan over a budget is excluded and the rest solved again.

    Raises:
        InfeasibleBudget: no plan meets all budgets.
        BankwiseError: another number of budgets than of costs, a budget that is not a whole number, costs that add up
            to 2^53 or more in the dearest plan, or HiGHS ended without a result.
    """
    costs = [row.reshape(len(row), -1) for row in problem.costs]
    budgets = [whole("budget", budget) for budget in budgets]
    if len(budgets) != costs[0].shape[1]:
        raise BankwiseError(f"{len(budgets)} budgets for {costs[0].shape[1]} costs a choice: need as many")
    for column, budget in enumerate(budgets):
        alone = Problem(tuple(row[:, column] for row in costs), problem.scores, problem.names)
        check_budget(alone, budget, f"budget {column + 1} of {len(budgets)}", unit="")
        dearest = sum(int(row.max()) for row in alone.costs)
        if dearest >= MOST:
            raise BankwiseError(f"the dearest plan costs {dearest:,} of budget {column + 1}: need less than 2^53")
        budgets[column] = min(budget, dearest)
    kept = [_live(*layer) for layer in zip(costs, problem.scores, _most(costs, budgets), strict=True)]
    places = None
    if all(len(row) for row in kept):
        gains = [row[on] - row[on].min() for row, on in zip(problem.scores, kept, strict=True)]
        places = _highs([row[on] for row, on in zip(costs, kept, strict=True)], gains, np.array(budgets))
    if places is None:
        raise InfeasibleBudget(f"no plan meets all {len(budgets)} budgets {budgets} at once, only each alone")
    return problem.solution([row[i] for row, i in zip(kept, places, strict=True)])


def _most(costs: list[np.ndarray], budgets: list[int]) -> np.ndarray:
    """(layers, r): the most that each layer may cost while the others cost their least."""
    least = np.stack([row.min(0) for row in costs])
    most: np.ndarray = np.array(budgets) - least.sum(0) + least
    return most


def _live(costs: np.ndarray, scores: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Undominated choices among those that fit."""
    fitting = np.flatnonzero((costs <= most).all(1))
    kept: np.ndarray = fitting[undominated(costs[fitting], scores[fitting])]
    return kept


def _highs(costs: list[np.ndarray], gains: list[np.ndarray], budgets: np.ndarray) -> list[int] | None:
    """The best place in each layer, or None if nothing fits; gains start at 0 in each layer."""
    starts = np.concatenate([[0], np.cumsum([len(row) for row in gains])])
    score_range = sum(float(row.max()) for row in gains)
    objective = np.concatenate(gains) * (-SCALE / score_range if score_range else 0.0)
    flat = np.concatenate(costs)
    least = np.stack([row.min(0) for row in costs])
    spare = budgets - least.sum(0)  # costs are measured from each layer's least: smaller numbers, the same plans
    unit = np.maximum(spare / LARGEST, 1)
    rises = np.concatenate([row - low for row, low in zip(costs, least, strict=True)])
    one_each = csr_array(block_diag([np.ones((1, len(row))) for row in gains]))
    constraints = [
        LinearConstraint(one_each, 1, 1),
        LinearConstraint(csr_array((rises / unit).T), -np.inf, spare / unit),
    ]
    while True:
        chosen = _solved(objective, constraints)
        if chosen is None:
            return None
        places = [int(chosen[a:b].argmax()) for a, b in zip(starts[:-1], starts[1:], strict=True)]
        picked = starts[:-1] + places
        if (flat[picked].sum(0) <= budgets).all():
            return places
        cut = np.zeros((1, len(objective)))
        cut[0, picked] = 1
        constraints.append(LinearConstraint(csr_array(cut), -np.inf, len(places) - 1))


def _solved(objective: np.ndarray, constraints: list[LinearConstraint]) -> np.ndarray | None:
    """The optimum (choices,) of 0 and 1, or None if nothing fits. Where HiGHS fails it runs again without presolve."""
    for presolve in (True, False):
        with clean_stdout():
            result = milp(
                objective,
                integrality=np.ones(len(objective)),
                bounds=Bounds(0, 1),
                constraints=constraints,
                options={"mip_rel_gap": 0, "presolve": presolve},
            )
        if result.status == 2:
            return None
        if result.status == 0:
            found: np.ndarray = result.x
            return found
    raise BankwiseError(f"the solver HiGHS did not finish: {result.message}; try a budget a few bytes larger")
