"""Regularized evolution (Real et al., AAAI 2019) on the budget's frontier.

The population starts at closed-form plans: that of captured energy with importance weights^-1/4 (small, early layers
pay more than the closed form knows), the best uniform plan, those that lean to one family each, to whole kernels or to
split ones, and that of equal importances (`strategies.portfolio`), then random variants of these importances. A child
redraws the choice of one or two layers of a parent, within the family or to another (or takes each layer from one of
two parents); the exact solver then completes it: the redrawn layers stay, each other layer keeps its choice, or else
its family, or changes as little as the budget asks, and what is left is spent. So every child is feasible and none
wastes bytes.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from strategies.base import Strategy
from strategies.budgeted import BudgetedSpace
from strategies.encodings import ImportanceEncoding
from strategies.frontier import frontier
from strategies.portfolio import families, portfolio
from strategies.scores import log_capture, small_first

FOUNDERS = 7
POPULATION = 16
CONTENDERS = 4
STAY = 0.5  # score a layer gains by keeping its choice, and half of it by its family, in units of log capture
MOVE = 0.3  # share of redrawn layers that change their family


class Evolution(Strategy):
    name = "evolution"

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.scores = log_capture(space)
        self.families = families(space)
        self.pool = [
            {str(family): kept[row[kept] == family] for family in dict.fromkeys(row)}
            for row, kept in zip(self.families, frontier(space, self.scores, apart=self.families), strict=True)
        ]

    @cached_property
    def founders(self) -> list[np.ndarray]:
        return portfolio(self.space)[:FOUNDERS]

    def _propose(self) -> np.ndarray:
        if len(self.told) < FOUNDERS:
            return self._founder(len(self.asked))
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
        """The portfolio first, then random variants of equal importances and of small layers first, in turn."""
        if number < len(self.founders):
            return self.founders[number]
        centre = small_first(self.space) if number % 2 else np.zeros(len(self.pool))
        variant = centre + self.rng.normal(0, 0.7, len(centre))
        return ImportanceEncoding(self.space, self.scores).decode(variant)

    def _tournament(self, population: list[tuple[tuple[int, ...], float]]) -> tuple[int, ...]:
        drawn = self.rng.choice(len(population), size=min(CONTENDERS, len(population)), replace=False)
        return max((population[i] for i in drawn), key=lambda pair: pair[1])[0]

    def _neighbour(self, layer: int, index: int) -> int:
        """An efficient choice of the layer's family, up to three steps cheaper or dearer, or the one of another family
        that costs most alike."""
        pools, family, costs = self.pool[layer], str(self.families[layer][index]), self.space.costs[layer]
        others = [other for other in pools if other != family]
        if others and self.rng.random() < MOVE:
            pool = pools[others[self.rng.integers(len(others))]]
            return int(pool[np.abs(costs[pool] - costs[index]).argmin()])
        pool = pools[family]
        place = int(np.searchsorted(costs[pool], costs[index]))
        steps = [place + step for step in (-3, -2, -1, 1, 2, 3) if 0 <= place + step < len(pool)]
        return int(pool[self.rng.choice(steps)]) if steps else index

    def _complete(self, wish: np.ndarray, mutated: set[int]) -> np.ndarray:
        scores = []
        for layer, (row, index) in enumerate(zip(self.scores, wish, strict=True)):
            family = self.families[layer]
            bonus = row + STAY / 2 * (family == family[index])
            bonus[index] += 100.0 if layer in mutated else STAY / 2
            scores.append(bonus)
        return self.space.solve(scores)
