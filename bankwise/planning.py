"""What a budget buys, by the closed form: range, plan, staircase, shadow price. Nothing is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search_space.budget import Budget
from search_space.plan import Plan
from search_space.price import price
from search_space.space import SearchSpace
from strategies import BudgetedSpace, make_strategy
from strategies.scores import log_rate
from strategies.solver import shadow_prices

STEPS = 12
MORE = 1024  # bytes that the shadow price is asked for


@dataclass(frozen=True)
class Step:
    """The best plan of at most `budget_bytes`; `rate` is the geometric mean over its layers of the rate."""

    budget_bytes: int
    file_bytes: int
    paper_bits: int
    rate: float
    plan: Plan


@dataclass(frozen=True)
class Shadow:
    """What `bytes` further bytes buy: the share by which the mean rate grows, the layers whose choice changes, and the
    share by which each layer's rate grows where that layer alone may change (empty under `max_ops`)."""

    bytes: int
    gain: float
    changes: dict[str, tuple[str, str]]
    layers: dict[str, float]


class Planner:
    """The closed form's answers over a space, within `max_ram` and `max_ops`, in one accounting.

    The rate of a layer is its choice's information bits a weight; the score of a plan is the sum of their logarithms.
    """

    def __init__(
        self, space: SearchSpace, accounting: str = "file", max_ram: int | None = None, max_ops: int | None = None
    ):
        self.space, self.accounting, self.limits = space, accounting, (max_ram, max_ops)

    def within(self, budget: int) -> BudgetedSpace:
        return BudgetedSpace(self.space, Budget(budget, self.accounting), *self.limits)

    @cached_property
    def _free(self) -> BudgetedSpace:
        """The space without a budget: with that of its largest plan."""
        prices = self.space.prices
        if self.accounting == "file":
            return self.within(prices.fixed_file_bytes + sum(int(row.max()) for row in prices.file_bytes))
        return self.within(-(-sum(int(row.max()) for row in prices.paper_bits) // 8))

    @cached_property
    def reach(self) -> tuple[Step, Step]:
        """The smallest and the largest plan."""
        return tuple(
            self._step(self._free, self._free.solve([sign * row.astype(float) for row in self._free.costs]))
            for sign in (-1, 1)
        )

    def _step(self, within: BudgetedSpace, indices: np.ndarray, budget: int | None = None) -> Step:
        plan = within.plan(indices)
        cost = price(self.space.shape, plan)
        logs = [math.log(plan.layers[layer.name].rate(layer)) for layer in self.space.shape.layers]
        own = cost.file_bytes if self.accounting == "file" else -(-cost.paper_bits // 8)
        return Step(budget or own, cost.file_bytes, cost.paper_bits, math.exp(math.fsum(logs) / len(logs)), plan)

    def best(self, budget: int) -> Step:
        """The plan of largest score within the budget, exactly. Raises InfeasibleBudget."""
        within = self.within(budget)
        return self._step(within, within.solve(log_rate(within)), budget)

    def uniform(self, budget: int) -> Step | None:
        """The uniform plan of largest closed-form score within the budget; None where no uniform plan fits."""
        within = self.within(budget)
        plan = make_strategy("uniform", within).ask()
        return None if plan is None else self._step(within, within.indices(plan), budget)

    def staircase(self) -> list[Step]:
        """The best plans from the smallest budget to the one beyond which more bytes buy nothing."""
        least = self.reach[0].budget_bytes
        enough = self._step(self._free, self._free.solve(log_rate(self._free))).budget_bytes
        between = np.geomspace(max(least, 1), max(enough, 1), STEPS).astype(int)[1:-1]
        return [self.best(budget) for budget in sorted({least, *between.tolist(), enough})]

    def shadow(self, step: Step) -> Shadow:
        """What one more KiB buys."""
        more = self.best(step.budget_bytes + MORE)
        changes = {
            name: (str(choice), str(more.plan.layers[name]))
            for name, choice in step.plan.layers.items()
            if choice != more.plan.layers[name]
        }
        return Shadow(MORE, more.rate / step.rate - 1, changes, self._alone(step))

    def _alone(self, step: Step) -> dict[str, float]:
        within = self.within(step.budget_bytes)
        if within.max_ops is not None:
            return {}
        extra = MORE if self.accounting == "file" else 8 * MORE
        gains = shadow_prices(within.problem(log_rate(within)), within.capacity, extra).layers
        return {name: math.expm1(gain) for name, gain in zip(self.space.names, gains, strict=True)}
