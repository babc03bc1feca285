"""Projection of any wished plan onto the budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_space.errors import BankwiseError
from strategies.solver.exact import Reduced
from strategies.solver.problem import Problem, Solution, check_budget


def project(
    costs: Sequence[np.ndarray],
    wish: np.ndarray,
    budget: int,
    distance: Sequence[np.ndarray] | None = None,
    names: Sequence[str] = (),
) -> Solution:
    """The plan within the budget that is nearest to `wish` (layers,); a wish within it comes back unchanged.

    `costs[i]` (m_i,) are integers. `distance[i]` (m_i,) tells how far each choice is from the wished one; nearest is
    the least sum. By default it is the difference in cost, and half a byte for another choice of the same cost. The
    score of the solution is the negative distance. Raises InfeasibleBudget if nothing fits.
    """
    costs = tuple(np.asarray(row) for row in costs)
    wish = _checked(wish, [len(row) for row in costs], names)
    if distance is None:
        distance = tuple(
            np.where(row == row[i], 0.5 * (np.arange(len(row)) != i), np.abs(row - row[i]))
            for row, i in zip(costs, wish, strict=True)
        )
    problem = Problem(costs, tuple(-np.asarray(row, float) for row in distance), tuple(names)).single()
    budget = check_budget(problem, budget)
    wished = problem.solution(wish)
    return wished if wished.cost <= budget else Reduced(problem).solve(budget)


def _checked(wish: np.ndarray, sizes: list[int], names: Sequence[str]) -> np.ndarray:
    wish = np.asarray(wish)
    if wish.shape != (len(sizes),) or wish.dtype.kind not in "iu":
        raise BankwiseError(
            f"wish of shape {wish.shape}, {wish.dtype}: need one whole number for each of {len(sizes)} layers"
        )
    for i, (index, size) in enumerate(zip(wish.tolist(), sizes, strict=True)):
        if not 0 <= index < size:
            raise BankwiseError(f"{names[i] if names else f'layer {i}'!r}: choice {index} is not in 0..{size - 1}")
    return wish
