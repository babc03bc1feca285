"""Uniform random plans within a budget, by counting how many ways there are to complete each beginning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bankwise.strategies.solver.problem import Problem, check_budget

CELLS = 1 << 25  # float64 cells of all tables together: 256 MiB
BLOCK = 1 << 14  # cells filled at once: stays in the processor's cache


class FeasibleSampler:
    """Draws plans that cost at most `budget`, each with the same probability; scores are ignored.

    ways_t[b] is the number of plans of layers t, t+1, ... that cost at most b, in units of the costs' greatest
    common divisor: ways_t[b] = sum over choices j of ways_{t+1}[b - cost_tj]. Each draw then takes the layers in turn,
    a choice with probability ways_{t+1}[what would be left] / ways_t[what is left]. No draw is rejected.

    Counts are float64: exact integers, and `count` with them, up to 2^53; beyond that each is a sum of positive
    numbers, with a relative error of at most 2^-53 times the number of choices of all layers (2e-13 for 20 layers of
    90). `count` is a Python int in either case.

    `exact` is false where the tables would exceed 256 MiB: then costs are rounded down to a coarser unit, a draw that
    is over the budget after all is rejected and repeated, and `count` is an upper bound. Draws are uniform and within
    the budget all the same.

    Raises:
        InfeasibleBudget: the cheapest plan costs more than `budget`.
    """

    def __init__(self, problem: Problem, budget: int):
        budget = check_budget(problem.single(), budget)
        least = [int(row.min()) for row in problem.costs]
        self._spare = budget - sum(least)
        above = [row - low for row, low in zip(problem.costs, least, strict=True)]
        orders = [np.argsort(row, kind="stable") for row in above]
        self._choices = [order[row[order] <= self._spare] for row, order in zip(above, orders, strict=True)]
        self._costs = [row[live] for row, live in zip(above, self._choices, strict=True)]
        # layers of large costs come first, so that the sums of those that follow stay small
        self._order = sorted(range(len(above)), key=lambda i: (-int(self._costs[i][-1]), i))
        divisor = math.gcd(*(int(np.gcd.reduce(row)) for row in self._costs)) or 1
        coarser = max(1, -(-sum(self._sizes(divisor)) // CELLS))
        self.exact = coarser == 1
        self._unit = divisor * coarser
        self._cells = [row // self._unit for row in self._costs]
        self._ways, exponent = self._count(self._sizes(self._unit))
        self.count = int(self._ways[0][-1]) << exponent

    def _sizes(self, unit: int) -> list[int]:
        """Cells of each table, in the order of the draw: what is left of the budget, or all the layers can cost."""
        most = [int(self._costs[i][-1]) // unit for i in self._order]
        return [min(self._spare // unit, sum(most[t:])) + 1 for t in range(len(most) + 1)]

    def _count(self, sizes: Sequence[int]) -> tuple[list[np.ndarray], int]:
        """The tables, and the power of 2 by which the first was divided to stay in range."""
        tables, exponent = [np.ones(1)], 0
        for t in range(len(self._order) - 1, -1, -1):
            ways = _convolve(tables[-1], self._cells[self._order[t]], sizes[t])
            excess = math.frexp(ways[-1])[1]
            if excess > 512:
                ways, exponent = np.ldexp(ways, -excess + 53), exponent + excess - 53
            tables.append(ways)
        return tables[::-1], exponent

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Indices (layers,) of one plan."""
        while True:
            indices, cost = self._draw(rng)
            if cost <= self._spare:
                return indices

    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        indices = np.empty(len(self._order), np.int64)
        left, cost = len(self._ways[0]) - 1, 0
        for layer, to_come, dice in zip(self._order, self._ways[1:], rng.random(len(indices)), strict=True):
            cells = self._cells[layer]
            after = left - cells[: np.searchsorted(cells, left, "right")]
            ways = np.cumsum(to_come[np.minimum(after, len(to_come) - 1)])
            j = min(int(np.searchsorted(ways, dice * ways[-1], "right")), len(ways) - 1)
            indices[layer] = self._choices[layer][j]
            cost += int(self._costs[layer][j])
            left = int(after[j])
        return indices, cost


def _convolve(before: np.ndarray, cells: np.ndarray, size: int) -> np.ndarray:
    """(size,): ways[b] = sum over choices of before[b - cell]; `before` stays at its last value beyond its end."""
    before = np.concatenate([before, np.full(max(0, size - len(before)), before[-1])])
    ways = np.zeros(size)
    distinct, times = np.unique(cells, return_counts=True)
    choices = list(zip(distinct.tolist(), times.tolist(), strict=True))
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        for cell, count in choices:
            if cell >= stop:
                break
            low = max(start, cell)
            part = before[low - cell : stop - cell]
            ways[low:stop] += part if count == 1 else count * part
    return ways
