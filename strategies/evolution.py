"""Regularized evolution (Real et al., AAAI 2019) on the budget's frontier.

The population starts at closed-form plans: that of captured energy weighted by the layers' importances, the best
uniform plan, those that prefer one family each, to whole kernels or to split ones, and that of equal importances
(`bankwise.strategies.portfolio`), then random variants of these importances. A child redraws the choice of one or two
layers of a parent, within the family or to another, or takes each layer from one of two parents, and the exact solver
completes it (`bankwise.strategies.moves`). So every child is feasible and none wastes bytes.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import ImportanceEncoding
from bankwise.strategies.moves import Moves
from bankwise.strategies.portfolio import portfolio
from bankwise.strategies.scores import importances

FOUNDERS = 7
POPULATION = 16
CONTENDERS = 4


class Evolution(Strategy):
    name = "evolution"

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.moves = Moves(space)

    @cached_property
    def founders(self) -> list[np.ndarray]:
        return portfolio(self.space)[:FOUNDERS]

    def _propose(self) -> np.ndarray:
        if len(self.results) < FOUNDERS:
            return self._founder(len(self.asked))
        population = self.results[-POPULATION:] + [max(self.results, key=lambda pair: pair[1])]
        parent = self._tournament(population)
        if self.rng.random() < 0.3:
            return self.moves.crossed(parent, self._tournament(population), self.rng)
        return self.moves.mutated(parent, self.rng)

    def _founder(self, number: int) -> np.ndarray:
        """The portfolio first, then random variants of equal importances and of the learned ones, in turn."""
        if number < len(self.founders):
            return self.founders[number]
        centre = importances(self.space) if number % 2 else np.zeros(len(self.space.sizes))
        variant = centre + self.rng.normal(0, 0.7, len(centre))
        return ImportanceEncoding(self.space, self.moves.scores).decode(list(variant))

    def _tournament(self, population: list[tuple[tuple[int, ...], float]]) -> tuple[int, ...]:
        drawn = self.rng.choice(len(population), size=min(CONTENDERS, len(population)), replace=False)
        best, _ = max((population[int(i)] for i in drawn), key=lambda pair: pair[1])
        return best
