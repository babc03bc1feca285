"""Local moves from one plan to another: a few layers are changed, the exact solver completes the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.frontier import frontier
from bankwise.strategies.portfolio import families
from bankwise.strategies.scores import log_capture

STAY = 0.5  # score a layer gains by keeping its choice, and half of it by its family, in units of log capture
MOVE = 0.3  # share of redrawn layers that change their family


class Moves:
    """Children of plans of `space`; every child keeps the limits and none wastes bytes."""

    def __init__(self, space: BudgetedSpace) -> None:
        self.space, self.scores, self.families = space, log_capture(space), families(space)
        self.pool = [
            {str(family): kept[row[kept] == family] for family in dict.fromkeys(row)}
            for row, kept in zip(self.families, frontier(space, self.scores, apart=self.families), strict=True)
        ]

    def mutated(self, parent: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """One or two layers are redrawn, within the family or to another."""
        wish = np.array(parent)
        layers = rng.choice(len(wish), size=min(len(wish), int(rng.integers(1, 3))), replace=False)
        for layer in layers:
            wish[layer] = self._neighbour(int(layer), int(wish[layer]), rng)
        return self._completed(wish, {int(layer) for layer in layers})

    def crossed(self, one: Sequence[int], other: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Each layer from one of the two."""
        return self._completed(np.where(rng.random(len(one)) < 0.5, one, other), set())

    def _neighbour(self, layer: int, index: int, rng: np.random.Generator) -> int:
        """An efficient choice of the layer's family, up to three steps cheaper or dearer, or the one of another family
        that costs most alike."""
        pools, family, costs = self.pool[layer], str(self.families[layer][index]), self.space.costs[layer]
        others = [other for other in pools if other != family]
        if others and rng.random() < MOVE:
            pool = pools[others[rng.integers(len(others))]]
            return int(pool[np.abs(costs[pool] - costs[index]).argmin()])
        pool = pools[family]
        place = int(np.searchsorted(costs[pool], costs[index]))
        steps = [place + step for step in (-3, -2, -1, 1, 2, 3) if 0 <= place + step < len(pool)]
        return int(pool[rng.choice(steps)]) if steps else index

    def _completed(self, wish: np.ndarray, fixed: set[int]) -> np.ndarray:
        """The layers `fixed` stay, as far as the budget lets them; each other one keeps its choice, or else its family,
        or changes as little as the budget asks, and what is left is spent."""
        scores = []
        for layer, (row, index) in enumerate(zip(self.scores, wish, strict=True)):
            family = self.families[layer]
            bonus = row + STAY / 2 * (family == family[index])
            bonus[index] += 100.0 if layer in fixed else STAY / 2
            scores.append(bonus)
        return self.space.solve(scores)
