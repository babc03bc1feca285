"""Several budgets at once, by mixed-integer programming (HiGHS through scipy)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import block_diag, csr_array

from search_space.errors import BankwiseError, InfeasibleBudget
from strategies.solver.dominance import undominated
from strategies.solver.problem import Problem, Solution, check_budget, whole

SCALE = 1e4  # sum of the layers' score ranges: HiGHS stops within 1e-6 of the optimum, so within 1e-10 of this


def solve_many(problem: Problem, budgets: Sequence[int]) -> Solution:
    """The plan of largest total score whose r total costs are each within `budgets` (r,).

    `problem.costs[i]` are (m_i, r), or (m_i,) for r = 1. Integer sums are checked after the solver, which works in
    floating point: a plan over a budget is cut off and the rest solved again. Raises InfeasibleBudget if no plan fits.
    """
    costs = [row.reshape(len(row), -1) for row in problem.costs]
    budgets = [whole("budget", budget) for budget in budgets]
    if len(budgets) != costs[0].shape[1]:
        raise BankwiseError(f"{len(budgets)} budgets for {costs[0].shape[1]} costs a choice: need as many")
    for column, budget in enumerate(budgets):
        alone = Problem(tuple(row[:, column] for row in costs), problem.scores, problem.names)
        check_budget(alone, budget, f"budget {column + 1} of {len(budgets)}", unit="")
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
    return np.array(budgets) - least.sum(0) + least


def _live(costs: np.ndarray, scores: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Choices that can fit and that no other fitting one beats."""
    fitting = np.flatnonzero((costs <= most).all(1))
    return fitting[undominated(costs[fitting], scores[fitting])]


def _highs(costs: list[np.ndarray], gains: list[np.ndarray], budgets: np.ndarray) -> list[int] | None:
    """The best place in each layer, or None if nothing fits; gains start at 0 in each layer."""
    starts = np.concatenate([[0], np.cumsum([len(row) for row in gains])])
    reach = sum(float(row.max()) for row in gains)
    objective = np.concatenate(gains) * (-SCALE / reach if reach else 0.0)
    flat = np.concatenate(costs)
    one_each = csr_array(block_diag([np.ones((1, len(row))) for row in gains]))
    within = csr_array(flat.T.astype(float))
    constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(within, -np.inf, budgets)]
    while True:
        result = milp(
            objective,
            integrality=np.ones(len(objective)),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"mip_rel_gap": 0},
        )
        if result.status == 2:
            return None
        if result.status != 0:
            raise RuntimeError(f"HiGHS did not finish: {result.message}")
        places = [int(result.x[a:b].argmax()) for a, b in zip(starts[:-1], starts[1:], strict=True)]
        picked = starts[:-1] + places
        if (flat[picked].sum(0) <= budgets).all():
            return places
        cut = np.zeros((1, len(objective)))
        cut[0, picked] = 1
        constraints.append(LinearConstraint(csr_array(cut), -np.inf, len(places) - 1))
