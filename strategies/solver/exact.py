"""The exact solver for one budget: prune, bound, fix, then the Pareto dynamic programme on what is left."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bankwise.strategies.solver.dominance import efficient
from bankwise.strategies.solver.pareto import WIDTHS, ParetoProgramme
from bankwise.strategies.solver.problem import Problem, Solution, check_budget

TOLERANCE = 1e-12  # of the scores at stake: less than this between two plans is rounding


class Reduced:
    """A problem without its dominated choices, to be solved for any number of budgets."""

    def __init__(self, problem: Problem):
        self.problem = problem.single()
        self.kept = [efficient(*pair) for pair in zip(problem.costs, problem.scores, strict=True)]
        self.costs = [row[kept] for row, kept in zip(problem.costs, self.kept, strict=True)]
        self.scores = [row[kept] for row, kept in zip(problem.scores, self.kept, strict=True)]

    @property
    def least(self) -> int:
        """Cost of the cheapest plan."""
        return sum(int(row[0]) for row in self.costs)

    @property
    def most(self) -> int:
        """Cost of the plan of largest score that costs least."""
        return sum(int(row[-1]) for row in self.costs)

    def solution(self, places: Sequence[int] | np.ndarray) -> Solution:
        """A plan by its places among the choices that are left."""
        return self.problem.solution([kept[i] for kept, i in zip(self.kept, places, strict=True)])

    def solve(self, budget: int) -> Solution:
        """The optimum of a budget of at least `least`."""
        if budget >= self.most:
            return self.solution([-1] * len(self.kept))
        spare = budget - self.least
        live = [row <= row[0] + spare for row in self.costs]  # rising costs: a prefix of each layer
        return self.solution(
            best_places(
                [row[on] for row, on in zip(self.costs, live, strict=True)],
                [row[on] for row, on in zip(self.scores, live, strict=True)],
                budget,
            )
        )


def solve(problem: Problem, budget: int) -> Solution:
    """The plan of largest total score that costs at most `budget`; proved optimal.

    Of plans whose scores differ by rounding alone the cheapest. States are at most one a byte of the budget (in units
    of the costs' common divisor), so memory is bounded, whatever the scores.

    Raises:
        InfeasibleBudget: the cheapest plan of all costs more than `budget`.
        BankwiseError: the problem has several costs a choice, or the budget is not a whole number.

    >>> problem = Problem((np.array([1, 3]), np.array([2, 4])), (np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    >>> best = solve(problem, 6)  # the dearer choice of one layer, the cheaper one of the other
    >>> best.indices.tolist(), best.cost, best.score
    ([1, 0], 5, 5.0)
    """
    return Reduced(problem).solve(check_budget(problem, budget))


class _Core:
    """The choices that may still be in the optimum: layers with one choice left are settled.

    `kept[i]` are places in layer i. Costs and scores are measured from the cheapest choice left in each layer.
    """

    def __init__(self, costs: list[np.ndarray], scores: list[np.ndarray], budget: int, kept: list[np.ndarray]):
        self.kept = kept
        self.base = np.array([row[0] for row in kept])
        opened = [i for i, row in enumerate(kept) if len(row) > 1]
        self.open = sorted(opened, key=lambda i: (-len(kept[i]), i))
        rises = [costs[i][kept[i]] - costs[i][kept[i][0]] for i in self.open]
        gains = [scores[i][kept[i]] - scores[i][kept[i][0]] for i in self.open]
        divisor = math.gcd(*(int(np.gcd.reduce(row)) for row in rises)) or 1
        spare = budget - sum(int(row[at]) for row, at in zip(costs, self.base, strict=True))
        self.slack = TOLERANCE * sum(float(row[-1]) for row in gains)
        if self.open:
            self.programme = ParetoProgramme([row // divisor for row in rises], gains, spare // divisor, self.slack)

    def score(self, scores: list[np.ndarray], places: np.ndarray) -> float:
        """Score of a plan above the base plan's, over the open layers."""
        return math.fsum(float(scores[i][places[i]] - scores[i][self.base[i]]) for i in self.open)

    def places(self, found: np.ndarray) -> np.ndarray:
        """A plan of the programme as places of all layers."""
        places: np.ndarray = self.base.copy()
        for i, at in zip(self.open, found, strict=True):
            places[i] = self.kept[i][at]
        return places

    def narrowed(self, floor: float) -> list[np.ndarray]:
        """The choices kept, less those whose Lagrangian bound is below `floor`: no better plan contains them."""
        programme, kept = self.programme, list(self.kept)
        for i, row, gain in zip(self.open, programme.costs, programme.scores, strict=True):
            value = gain - programme.price * row
            kept[i] = self.kept[i][programme.bound - (value.max() - value) >= floor - self.slack]
        return kept


def best_places(costs: list[np.ndarray], scores: list[np.ndarray], budget: int) -> np.ndarray:
    """Places of the optimum in layers that rise strictly in cost and score, for a budget that binds."""
    core = _Core(costs, scores, budget, [np.arange(len(row)) for row in costs])
    if not core.open:
        return core.base
    best = core.places(core.programme.greedy)
    for width in WIDTHS:
        core = _Core(costs, scores, budget, core.narrowed(core.score(scores, best)))
        if not core.open:
            return core.base
        floor = core.score(scores, best)
        if core.programme.bound <= floor + core.slack:
            return best
        found = core.programme.run(floor, width)
        if found is not None:
            best = core.places(found.places)
            if found.proved:
                return best
    return best
