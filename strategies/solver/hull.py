"""The linear relaxation: concave hulls of layers, and the bound and the greedy plan that follow from them.

Zemel (1980), Sinha & Zoltners (1979): the relaxed multiple-choice knapsack is solved by taking the steps of all
layers' upper concave hulls by falling score per cost until the budget is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def hull(costs: np.ndarray, scores: np.ndarray) -> list[int]:
    """Vertices of the upper concave hull of one layer, whose choices rise strictly in cost and score."""
    xs, ys = costs.tolist(), scores.tolist()
    kept: list[int] = []
    slopes: list[float] = []
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        while kept:
            slope = (y - ys[kept[-1]]) / (x - xs[kept[-1]])
            if not slopes or slope < slopes[-1]:
                slopes.append(slope)
                break
            kept.pop()
            slopes.pop()
        kept.append(i)
    return kept


@dataclass(frozen=True)
class Steps:
    """Hull steps of all layers by falling slope: each moves its `layer` on to choice `target`.

    All arrays are (steps,). Costs are integers; slopes are score per cost. Taking a prefix of the steps is a plan, and
    an optimal one for what it costs.
    """

    layer: np.ndarray
    target: np.ndarray
    cost: np.ndarray
    score: np.ndarray
    slope: np.ndarray

    @classmethod
    def of(cls, costs: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> Steps:
        """The steps of layers `costs[i]`, `scores[i]` (m_i,), which rise strictly in both."""
        hulls = [np.array(hull(*pair)) for pair in zip(costs, scores, strict=True)]
        layer = np.repeat(np.arange(len(hulls)), [len(kept) - 1 for kept in hulls])
        target = np.concatenate([kept[1:] for kept in hulls])
        cost = np.concatenate([np.diff(row[kept]) for row, kept in zip(costs, hulls, strict=True)])
        score = np.concatenate([np.diff(row[kept]) for row, kept in zip(scores, hulls, strict=True)])
        slope = score / cost
        order = np.argsort(-slope, kind="stable")
        return cls(layer[order], target[order], cost[order], score[order], slope[order])

    def plan(self, layers: int, taken: int) -> np.ndarray:
        """Choices (layers,) after the first `taken` steps; every layer starts at its choice 0."""
        picked = np.zeros(layers, np.int64)
        picked[self.layer[:taken]] = self.target[:taken]  # the last step of a layer wins
        return picked

    def suffix(self, first: int) -> Relaxation:
        """The relaxation of layers `first`, `first + 1`, ..."""
        mine = self.layer >= first
        return Relaxation(
            np.concatenate([[0], np.cumsum(self.cost[mine])]),
            np.concatenate([[0.0], np.cumsum(self.score[mine])]),
            np.concatenate([self.slope[mine], [0.0]]),
        )


@dataclass(frozen=True)
class Relaxation:
    """What the best prefix of steps costs and scores: `cost`, `score` (steps + 1,), and the `slope` of the next."""

    cost: np.ndarray
    score: np.ndarray
    slope: np.ndarray

    def bounds(self, budgets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each budget >= 0: steps that fit, the score of their plan, and the upper bound on any plan's score."""
        taken = np.searchsorted(self.cost, budgets, "right") - 1
        score = self.score[taken]
        return taken, score, score + self.slope[taken] * (budgets - self.cost[taken])
