"""Projection of any plan onto the budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.solver.exact import Reduced
from bankwise.strategies.solver.problem import Problem, Solution, check_budget


def project(
    costs: Sequence[np.ndarray],
    target: np.ndarray,
    budget: int,
    names: Sequence[str] = (),
) -> Solution:
    """The feasible plan nearest to `target` (layers,); a feasible target is returned unchanged.

    `costs[i]` (m_i,) are integers. Nearest is the least sum over the layers of the difference in cost, 0.5 for another
    choice of the same cost. The score of the solution is the negative distance.

    Raises:
        InfeasibleBudget: the cheapest plan costs more than `budget`.
        BankwiseError: `target` is not one choice for every layer.
    """
    costs = tuple(np.asarray(row) for row in costs)
    target = _checked(target, [len(row) for row in costs], names)
    nearness = tuple(
        -np.where(row == row[i], 0.5 * (np.arange(len(row)) != i), np.abs(row - row[i]))
        for row, i in zip(costs, target, strict=True)
    )
    problem = Problem(costs, nearness, tuple(names)).single()
    budget = check_budget(problem, budget)
    solution = problem.solution(target)
    return solution if solution.cost <= budget else Reduced(problem).solve(budget)


def _checked(target: np.ndarray, sizes: list[int], names: Sequence[str]) -> np.ndarray:
    target = np.asarray(target)
    if target.shape != (len(sizes),) or target.dtype.kind not in "iu":
        raise BankwiseError(
            f"plan of shape {target.shape}, {target.dtype}: need one whole number for each of {len(sizes)} layers"
        )
    for i, (index, size) in enumerate(zip(target.tolist(), sizes, strict=True)):
        if not 0 <= index < size:
            raise BankwiseError(f"{names[i] if names else f'layer {i}'!r}: choice {index} is not in 0..{size - 1}")
    return target
