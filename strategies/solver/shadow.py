"""Shadow prices: the gain in score for a few more bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.solver.exact import Reduced
from bankwise.strategies.solver.problem import Problem, Solution, check_budget, whole


@dataclass(frozen=True)
class Shadow:
    """`extra` bytes over the budget of the optimum `base` give the optimum `more`, whose score is higher by `gain`.

    `layers` (layers,) are the gains in score if only that layer may change its choice, to `choices` (layers,), with the
    whole larger budget at hand; no entry exceeds `gain` but by rounding.
    """

    base: Solution
    more: Solution
    extra: int
    gain: float
    layers: np.ndarray
    choices: np.ndarray


def shadow_prices(problem: Problem, budget: int, extra: int) -> Shadow:
    """The optimum at `budget + extra`, and the gain of each layer with the others as in the optimum of `budget`.

    Raises:
        InfeasibleBudget: the cheapest plan costs more than `budget`.
        BankwiseError: `extra` is negative.
    """
    budget, extra = check_budget(problem, budget), whole("extra", extra)
    if extra < 0:
        raise BankwiseError(f"extra {extra}: need 0 or more bytes")
    reduced = Reduced(problem)
    base, more = reduced.solve(budget), reduced.solve(budget + extra)
    spare = budget + extra - base.cost
    choices = base.indices.copy()
    layers = np.zeros(len(choices))
    for i, (kept, costs, scores) in enumerate(zip(reduced.kept, reduced.costs, reduced.scores, strict=True)):
        last = int(np.searchsorted(costs, problem.costs[i][base.indices[i]] + spare, "right")) - 1
        gain = float(scores[last] - problem.scores[i][base.indices[i]])
        if gain > 0:
            choices[i], layers[i] = kept[last], gain
    return Shadow(base, more, extra, max(0.0, more.score - base.score), layers, choices)
