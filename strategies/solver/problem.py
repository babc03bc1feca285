"""The multiple-choice knapsack: one choice a layer, largest total score, integer costs within a budget."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget


@dataclass(frozen=True)
class Problem:
    """`costs[i]` are the integer costs (m_i,) of layer i's choices, or (m_i, r) where there are r budgets.

    `scores[i]` are their scores (m_i,). `names` are the layers' names in error messages. Costs become int64, scores
    float64.

    Raises:
        BankwiseError: costs or scores of another shape or type, below 0, 2^53 or more, or not finite.
    """

    costs: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = {"costs": len(self.costs), "scores": len(self.scores), "names": len(self.names or self.costs)}
        if len(set(counts.values())) > 1:
            raise BankwiseError(f"a problem needs as many of each, one a layer: {counts}")
        if not self.costs:
            raise BankwiseError("a problem of 0 layers: at least one layer with one choice is needed")
        pairs = [_checked(self.name(i), *pair) for i, pair in enumerate(zip(self.costs, self.scores, strict=True))]
        widths = {costs.shape[1:] for costs, _ in pairs}
        if len(widths) > 1:
            raise BankwiseError(f"costs of differing width {sorted(widths)}: every layer needs one cost a budget")
        object.__setattr__(self, "costs", tuple(costs for costs, _ in pairs))
        object.__setattr__(self, "scores", tuple(scores for _, scores in pairs))
        object.__setattr__(self, "names", tuple(self.names))

    def name(self, layer: int) -> str:
        """How error messages call a layer."""
        return self.names[layer] if self.names else f"layer {layer}"

    def single(self) -> Problem:
        """Itself, if it has one cost a choice.

        Raises:
            BankwiseError: it has several.
        """
        if self.costs[0].ndim != 1:
            raise BankwiseError(f"{self.costs[0].shape[1]} costs a choice: use solve_many, or give one cost a choice")
        return self

    def solution(self, indices: Sequence[int] | np.ndarray) -> Solution:
        """The plan of these choices, `indices` (layers,), with its total cost and score."""
        picked = np.asarray(indices, np.int64)
        scores = [row[i] for row, i in zip(self.scores, picked, strict=True)]
        return Solution(picked, _first_cost(self.costs, picked), math.fsum(scores))


@dataclass(frozen=True)
class Solution:
    """A plan: `indices` (layers,), its total cost (the first one, where there are several) and its total score."""

    indices: np.ndarray
    cost: int
    score: float


def _first_cost(costs: Sequence[np.ndarray], indices: np.ndarray) -> int:
    return sum(int(row[i] if row.ndim == 1 else row[i, 0]) for row, i in zip(costs, indices, strict=True))


def _checked(name: str, costs: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    costs, scores = np.asarray(costs), np.asarray(scores)
    if costs.ndim not in (1, 2) or scores.ndim != 1 or len(costs) != len(scores) or not costs.size:
        raise BankwiseError(
            f"{name!r}: costs {costs.shape} and scores {scores.shape} must be one number a choice, at least one choice"
        )
    if costs.dtype.kind not in "iu" or scores.dtype.kind not in "iuf":
        raise BankwiseError(f"{name!r}: costs are {costs.dtype}, scores {scores.dtype}; need integers and real numbers")
    scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        raise BankwiseError(f"{name!r}: score {scores[~np.isfinite(scores)][0]} of a choice: need finite scores")
    if costs.min() < 0 or costs.max() >= 2**53:
        bad = costs.min() if costs.min() < 0 else costs.max()
        raise BankwiseError(f"{name!r}: cost {bad} of a choice: need 0 or more, and less than 2^53")
    return costs.astype(np.int64), scores


def whole(name: str, value: int) -> int:
    """`value` as a Python int; a float, even a whole one, is an error, since budgets are hard.

    Raises:
        BankwiseError: `value` is not an integer.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise BankwiseError(f"{name} {value!r}: need a whole number") from None


def check_budget(problem: Problem, budget: int, called: str = "the budget", unit: str = " bytes") -> int:
    """The budget as int. `called` and `unit` are for the message.

    Raises:
        InfeasibleBudget: even the cheapest plan costs more.
        BankwiseError: the budget is not a whole number.
    """
    budget = whole("budget", budget)
    least = [int(row.min()) for row in problem.costs]
    if sum(least) > budget:
        order = sorted(range(len(least)), key=lambda i: (-least[i], i))[:3]
        largest = ", ".join(f"{problem.name(i)}: {least[i]:,}" for i in order)
        raise InfeasibleBudget(
            f"no plan fits {called}: the cheapest needs {sum(least):,}{unit}, given {budget:,}{unit}; "
            f"the layers that need most: {largest}"
        )
    return budget
