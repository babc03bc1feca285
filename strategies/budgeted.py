"""A search space under hard limits: what every strategy proposes from, and cannot leave."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from search_space.budget import Budget
from search_space.errors import BankwiseError, InfeasibleBudget
from search_space.plan import Plan
from search_space.price import PriceTable
from search_space.space import SearchSpace
from strategies.solver import FeasibleSampler, Problem, project, solve, solve_many


class BudgetedSpace:
    """`space` cut to the plans within `budget` and, where given, `max_ram` bytes of activations in
    split-transform-merge (a limit on each layer's choices) and `max_ops` additions and multiplications an image.

    Costs are integers: file bytes, or bits in the `paper` accounting. Raises InfeasibleBudget if nothing fits.
    """

    def __init__(self, space: SearchSpace, budget: Budget, max_ram: int | None = None, max_ops: int | None = None):
        self.space, self.budget, self.max_ops = space, budget, max_ops
        self.allowed = self._allowed(max_ram)
        prices = space.prices
        in_file = budget.accounting == "file"
        table = prices.file_bytes if in_file else prices.paper_bits
        self.fixed = prices.fixed_file_bytes if in_file else 0
        self.capacity = budget.bytes - self.fixed if in_file else 8 * budget.bytes
        self.costs = self._cut(table)
        self.operations = tuple(
            a + m for a, m in zip(self._cut(prices.additions), self._cut(prices.multiplications), strict=True)
        )
        self._check(prices)

    def _allowed(self, max_ram: int | None) -> tuple[np.ndarray, ...]:
        peaks = self.space.prices.merge_peak_bytes
        if max_ram is None:
            return tuple(np.arange(len(row)) for row in peaks)
        for name, row in zip(self.space.names, peaks, strict=True):
            if row.min() > max_ram:
                raise InfeasibleBudget(
                    f"max-ram of {max_ram:,} bytes cannot be met: layer {name!r} needs at least {row.min():,}"
                )
        return tuple(np.flatnonzero(row <= max_ram) for row in peaks)

    def _cut(self, table: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        return tuple(row[mask] for row, mask in zip(table, self.allowed, strict=True))

    def _check(self, prices: PriceTable) -> None:
        least = [int(row.min()) for row in self.costs]
        if sum(least) > self.capacity:
            unit = 1 if self.budget.accounting == "file" else 8
            largest = sorted(zip(least, self.space.names, strict=True), reverse=True)[:3]
            fixed = f" (of which header, norms and kept tensors {self.fixed:,})" if self.fixed else ""
            raise InfeasibleBudget(
                f"budget of {self.budget} cannot be met: network {self.space.shape.network!r} needs at least "
                f"{-(-sum(least) // unit) + self.fixed:,} bytes{fixed}; the largest layers need "
                + ", ".join(f"{name} {-(-cost // unit):,}" for cost, name in largest)
            )
        if self.max_ops is not None and sum(int(row.min()) for row in self.operations) > self.max_ops:
            raise InfeasibleBudget(
                f"max-ops of {self.max_ops:,} cannot be met: network {self.space.shape.network!r} needs at least "
                f"{sum(int(row.min()) for row in self.operations):,} operations an image"
            )
        if self.max_ops is not None:
            self.solve([np.zeros(len(row)) for row in self.costs])  # both limits at once, or InfeasibleBudget

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(row) for row in self.costs)

    def choices(self, layer: int) -> list:
        return [self.space.choices[layer][i] for i in self.allowed[layer]]

    def cost(self, indices: Sequence[int]) -> int:
        """Total cost in the budget's accounting, the fixed part included."""
        return self.fixed + sum(int(row[i]) for row, i in zip(self.costs, indices, strict=True))

    def fits(self, indices: Sequence[int]) -> bool:
        within = self.cost(indices) - self.fixed <= self.capacity
        if self.max_ops is not None:
            within &= sum(int(row[i]) for row, i in zip(self.operations, indices, strict=True)) <= self.max_ops
        return within

    def plan(self, indices: Sequence[int]) -> Plan:
        return self.space.plan([row[i] for row, i in zip(self.allowed, indices, strict=True)])

    def indices(self, plan: Plan) -> np.ndarray:
        """The plan's place among the allowed choices; a plan outside the space or its limits is an error."""
        found = []
        for i, (row, index) in enumerate(zip(self.allowed, self.space.indices(plan), strict=True)):
            place = np.flatnonzero(row == index)
            if not len(place):
                raise BankwiseError(
                    f"layer {self.space.names[i]!r}: {plan.layers[self.space.names[i]]} exceeds max-ram"
                )
            found.append(int(place[0]))
        return np.array(found)

    def solve(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """The plan of largest total score within the limits, exactly: indices (layers,)."""
        if self.max_ops is None:
            return solve(self.problem(scores), self.capacity).indices
        both = tuple(np.stack(pair, 1) for pair in zip(self.costs, self.operations, strict=True))
        problem = Problem(both, tuple(map(np.asarray, scores)), self.space.names)
        return solve_many(problem, [self.capacity, self.max_ops]).indices

    def problem(self, scores: Sequence[np.ndarray]) -> Problem:
        return Problem(self.costs, tuple(np.asarray(row, float) for row in scores), self.space.names)

    def project(self, wish: Sequence[int]) -> np.ndarray:
        """The feasible plan nearest to `wish`; a feasible wish comes back unchanged."""
        wish = np.asarray(wish)
        if self.fits(wish):
            return wish
        if self.max_ops is None:
            return project(self.costs, wish, self.capacity, names=self.space.names).indices
        return self.solve([-np.abs(row - row[i]) / max(1, row.max()) for row, i in zip(self.costs, wish, strict=True)])

    @cached_property
    def sampler(self) -> FeasibleSampler:
        return FeasibleSampler(self.problem([np.zeros(len(row)) for row in self.costs]), self.capacity)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """A plan drawn uniformly from those within the budget; projected where `max_ops` cuts further."""
        return self.project(self.sampler.sample(rng))
