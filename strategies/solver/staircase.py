"""The staircase: the largest score for every cost, from the cheapest plan to the best plan of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.solver.exact import Reduced
from bankwise.strategies.solver.hull import Steps
from bankwise.strategies.solver.milp import solve_many
from bankwise.strategies.solver.problem import Problem, Solution, check_budget, whole


def optima(problem: Problem, budgets: Sequence[int], further: Sequence[int] = ()) -> list[Solution]:
    """The plan of largest score for each of `budgets`, in their order; exact.

    Where the problem has several costs a choice, `budgets` are those of the first one and `further` the hard limits of
    the others. Raises InfeasibleBudget where one budget is too small.
    """
    if further:
        return [solve_many(problem, [budget, *further]) for budget in budgets]
    reduced = Reduced(problem)
    return [reduced.solve(check_budget(problem, budget)) for budget in budgets]


def staircase(problem: Problem, budgets: Sequence[int] | None = None, points: int = 200) -> list[Solution]:
    """Optimal plans, strictly increasing in cost and score; each is the optimum of its own cost.

    With `budgets` the optimum of each, equal ones once. Without, up to `points` steps spread evenly in the logarithm of
    the cost, the cheapest plan and the unconstrained optimum among them.

    Raises:
        InfeasibleBudget: the cheapest plan costs more than one of `budgets`.
        BankwiseError: `points` is less than 2.
    """
    if budgets is not None:
        found: Iterable[Solution] = optima(problem, sorted(set(budgets)))
    elif whole("points", points) < 2:
        raise BankwiseError(f"points {points}: a staircase needs at least 2, the cheapest and the best plan")
    else:
        found = _spread(Reduced(problem), points)
    steps: list[Solution] = []
    for solution in found:
        if not steps or (solution.cost > steps[-1].cost and solution.score > steps[-1].score):
            steps.append(solution)
    return steps


def _spread(reduced: Reduced, points: int) -> Iterator[Solution]:
    """One optimum in each interval of the cost: where the linear relaxation is integral there it is one already."""
    relaxed = Steps.of(reduced.costs, reduced.scores)
    corners = reduced.least + np.concatenate([[0], np.cumsum(relaxed.cost)])
    targets = np.geomspace(max(reduced.least, 1), max(reduced.most, 1), points).round().astype(np.int64)
    targets[0], targets[-1] = reduced.least, reduced.most
    before = -1
    for target in np.unique(targets).tolist():
        taken = int(np.searchsorted(corners, target, "right")) - 1
        if corners[taken] > before:
            yield reduced.solution(relaxed.plan(len(reduced.costs), taken))
        else:
            yield reduced.solve(target)
        before = target
