"""Regularized evolution (Real et al., AAAI 2019) on the budget's frontier.

The population starts at the closed-form plan, the same with importance weights^-1/4 (small, early layers pay more than
the closed form knows), and random variants of both. A child redraws the choice of one
or two layers of a parent (or takes each layer from one of two parents); the exact solver then completes it: the redrawn
layers stay, each other layer keeps its choice or changes as little as the budget asks, and what is left is spent. So
every child is feasible and none wastes bytes.
"""

from __future__ import annotations

import numpy as np

from strategies.base import Strategy
from strategies.budgeted import BudgetedSpace
from strategies.encodings import ImportanceEncoding
from strategies.frontier import frontier
from strategies.scores import log_capture, small_first

FOUNDERS = 6
POPULATION = 16
CONTENDERS = 4
STAY = 0.5  # score a layer gains by keeping its choice, in units of log capture


class Evolution(Strategy):
    name = "evolution"

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.scores = log_capture(space)
        self.pool = frontier(space, self.scores)

    def _propose(self) -> np.ndarray:
        if len(self.told) < FOUNDERS:
            return ImportanceEncoding(self.space, self.scores).decode(self._founder(len(self.asked)))
        population = self.told[-POPULATION:] + [max(self.told, key=lambda pair: pair[1])]
        parent = self._tournament(population)
        if self.rng.random() < 0.3:
            other = self._tournament(population)
            wish = np.where(self.rng.random(len(parent)) < 0.5, parent, other)
            return self._complete(wish, set())
        wish = np.array(parent)
        mutated = self.rng.choice(len(wish), size=min(len(wish), int(self.rng.integers(1, 3))), replace=False)
        for layer in mutated:
            wish[layer] = self._neighbour(layer, wish[layer])
        return self._complete(wish, {int(layer) for layer in mutated})

    def _founder(self, number: int) -> np.ndarray:
        """Log-importances: all equal first, small layers before large ones second, then variants of both in turn."""
        centre = small_first(self.space) if number % 2 else np.zeros(len(self.pool))
        return centre if number < 2 else centre + self.rng.normal(0, 0.7, len(centre))

    def _tournament(self, population: list[tuple[tuple[int, ...], float]]) -> tuple[int, ...]:
        drawn = self.rng.choice(len(population), size=min(CONTENDERS, len(population)), replace=False)
        return max((population[i] for i in drawn), key=lambda pair: pair[1])[0]

    def _neighbour(self, layer: int, index: int) -> int:
        """Another efficient choice of the layer, up to three steps cheaper or dearer."""
        pool = self.pool[layer]
        place = int(np.searchsorted(self.space.costs[layer][pool], self.space.costs[layer][index]))
        steps = [place + step for step in (-3, -2, -1, 1, 2, 3) if 0 <= place + step < len(pool)]
        return int(pool[self.rng.choice(steps)]) if steps else index

    def _complete(self, wish: np.ndarray, mutated: set[int]) -> np.ndarray:
        scores = []
        for layer, (row, index) in enumerate(zip(self.scores, wish, strict=True)):
            bonus = row.copy()
            bonus[index] += 100.0 if layer in mutated else STAY
            scores.append(bonus)
        return self.space.solve(scores)
