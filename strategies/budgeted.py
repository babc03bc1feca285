"""A search space under hard limits: what every strategy proposes from, and cannot leave."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from torch import nn

from bankwise.search_space.accounting import Accounting, make_accounting
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.families import Choice
from bankwise.search_space.limits import Limits
from bankwise.search_space.plan import Plan
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace
from bankwise.strategies.solver import FeasibleSampler, Problem, project, solve, solve_many


class BudgetedSpace:
    """`space` cut to the plans that keep the `limits`; their `max_ram` bounds each layer's choices.

    A plan is a vector of indices, one a layer, into the allowed choices. `costs` (choices,) a layer, `fixed` and
    `capacity` (what `costs` may add up to) are integers in the unit of `accounting`. Raises InfeasibleBudget if nothing
    fits.
    """

    def __init__(self, space: SearchSpace, limits: Limits | Budget, network: nn.Module | None = None):
        """`network` is the module where the space is of one in memory, which only accounting `device` asks for."""
        self.space, self.limits, self.network = space, Limits.of(limits), network
        self.accounting = make_accounting(self.budget.accounting)
        self.allowed = self._allowed(self.limits.max_ram)
        prices = space.prices
        self.fixed = self.accounting.fixed(prices)
        self.capacity = self.accounting.capacity(self.budget.bytes) - self.fixed
        self.costs = self._cut(self.accounting.table(prices))
        counts = Accounting.operations(self.accounting, space)  # by split-transform-merge, where nothing is limited
        if self.max_ops is not None:
            counts = self.accounting.operations(space, network)
        self.operations = self._cut(counts)
        self._check()

    @classmethod
    def of(
        cls, shape: NetworkShape, settings: SpaceSettings, limits: Limits, network: nn.Module | None = None
    ) -> BudgetedSpace:
        """The plans of a network within the limits, of the kinds that are usual for the budget where none are said."""
        return cls(SearchSpace(shape, settings.within(limits.budget.bytes, shape)), limits, network)

    @property
    def budget(self) -> Budget:
        return self.limits.budget

    @property
    def max_ops(self) -> int | None:
        return self.limits.max_ops

    @property
    def layer_ops(self) -> int | None:
        """What the layers' operations may add up to under `max_ops`: the rest of the network takes its own."""
        return None if self.max_ops is None else self.max_ops - 2 * self.space.shape.other_work

    def _allowed(self, max_ram: int | None) -> tuple[np.ndarray, ...]:
        if max_ram is None:
            return tuple(np.arange(size) for size in self.space.sizes)
        least, peaks = self.accounting.memory(self.space, self.network)
        if least > max_ram:
            raise InfeasibleBudget(
                f"max-ram of {max_ram:,} bytes cannot be met: network {self.space.shape.network!r} needs at least "
                f"{least:,}"
            )
        for name, row in zip(self.space.names, peaks, strict=True):
            if row.min() > max_ram:
                raise InfeasibleBudget(
                    f"max-ram of {max_ram:,} bytes cannot be met: layer {name!r} needs at least {row.min():,}"
                )
        return tuple(np.flatnonzero(row <= max_ram) for row in peaks)

    def _cut(self, table: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        return tuple(row[mask] for row, mask in zip(table, self.allowed, strict=True))

    def _check(self) -> None:
        least = [int(row.min()) for row in self.costs]
        if sum(least) > self.capacity:
            shown = self.accounting.in_bytes
            largest = sorted(zip(least, self.space.names, strict=True), reverse=True)[:3]
            fixed = f" (of which header, norms and kept tensors {shown(self.fixed):,})" if self.fixed else ""
            raise InfeasibleBudget(
                f"budget of {self.budget} cannot be met{self._under_ram()}: network {self.space.shape.network!r} "
                f"needs at least {shown(sum(least) + self.fixed):,} bytes{fixed}; the largest layers need "
                + ", ".join(f"{name} {shown(cost):,}" for cost, name in largest)
            )
        if self.layer_ops is not None:
            self._check_operations(self.layer_ops)
            self._check_both(self.layer_ops)

    def _under_ram(self) -> str:
        """Words for an error, where max-ram has taken choices away."""
        cut = any(len(row) < size for row, size in zip(self.allowed, self.space.sizes, strict=True))
        return f" under max-ram of {self.limits.max_ram:,} bytes" if cut else ""

    def _check_both(self, limit: int) -> None:
        """Bytes and operations can be met at once."""
        fewest = solve(self.problem([-row.astype(float) for row in self.operations]), self.capacity).indices
        least = sum(int(row[i]) for row, i in zip(self.operations, fewest, strict=True))
        if least > limit:
            raise InfeasibleBudget(
                f"budget of {self.budget} and max-ops of {self.max_ops:,} cannot be met together{self._under_ram()}, "
                f"only each alone: within the budget a plan needs at least {least + 2 * self.space.shape.other_work:,} "
                "operations an image"
            )

    def _check_operations(self, limit: int) -> None:
        shape = self.space.shape
        if shape.uncounted:
            raise BankwiseError(
                f"max-ops: network {shape.network!r} runs {', '.join(shape.uncounted)}, whose operations are not known"
            )
        least = sum(int(row.min()) for row in self.operations)
        if least > limit:
            other = f" (of which outside its layers {2 * shape.other_work:,})" if shape.other_work else ""
            raise InfeasibleBudget(
                f"max-ops of {self.max_ops:,} cannot be met{self._under_ram()}: network {shape.network!r} needs "
                f"at least {least + 2 * shape.other_work:,} operations an image{other}"
            )

    def cut(self, rows: Sequence[Sequence[int] | np.ndarray]) -> BudgetedSpace:
        """The space of some of each layer's choices, `rows` of indices. Raises InfeasibleBudget if no plan is left."""
        kept = [allowed[list(row)] for allowed, row in zip(self.allowed, rows, strict=True)]
        return BudgetedSpace(self.space.cut(kept), dataclasses.replace(self.limits, max_ram=None), self.network)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of allowed choices of each layer."""
        return tuple(len(row) for row in self.costs)

    @cached_property
    def identity(self) -> dict[str, object]:
        """What a strategy's indices and costs depend on, as JSON values: two spaces of one identity are alike."""
        codes = "\n".join(
            f"{name} {' '.join(choice.code() for choice in self.choices(i))}" for i, name in enumerate(self.space.names)
        )
        return {
            "network": self.space.shape.network,
            "input_shape": list(self.space.shape.input_shape),
            "classes": self.space.shape.classes,
            "keep": list(self.space.shape.keep),
            "vector_bits": self.space.settings.vector_bits,
            "budget": self.budget.bytes,
            "accounting": self.accounting.name,
            "max_ram": self.limits.max_ram,
            "max_ops": self.limits.max_ops,
            "capacity": self.capacity,
            "sizes": list(self.sizes),
            "choices": hashlib.sha256(codes.encode()).hexdigest(),
        }

    def choices(self, layer: int) -> list[Choice]:
        """The allowed choices of that layer."""
        return [self.space.choices[layer][i] for i in self.allowed[layer]]

    def cost(self, indices: Sequence[int] | np.ndarray) -> int:
        """Total cost in the budget's accounting, the fixed part included."""
        return self.fixed + sum(int(row[i]) for row, i in zip(self.costs, indices, strict=True))

    def fits(self, indices: Sequence[int] | np.ndarray) -> bool:
        """Whether the plan keeps the limits."""
        return bool(self.keeping(np.asarray(indices)[None])[0])

    def keeping(self, plans: np.ndarray) -> np.ndarray:
        """Which plans (plans, layers) keep the limits, (plans,)."""
        kept: np.ndarray = _sums(self.costs, plans) <= self.capacity
        return kept if self.layer_ops is None else kept & (_sums(self.operations, plans) <= self.layer_ops)

    def plan(self, indices: Sequence[int] | np.ndarray) -> Plan:
        """The plan of those indices."""
        return self.space.plan([row[i] for row, i in zip(self.allowed, indices, strict=True)])

    def indices(self, plan: Plan) -> np.ndarray:
        """The plan's indices. Raises BankwiseError where a choice is not among the allowed ones."""
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
        """The plan of largest total score that keeps the limits, exactly: indices (layers,)."""
        if self.layer_ops is None:
            return solve(self.problem(scores), self.capacity).indices
        both = tuple(np.stack(pair, 1) for pair in zip(self.costs, self.operations, strict=True))
        problem = Problem(both, tuple(map(np.asarray, scores)), self.space.names)
        return solve_many(problem, [self.capacity, self.layer_ops]).indices

    def problem(self, scores: Sequence[np.ndarray]) -> Problem:
        """The solver's problem for `scores` (choices,) a layer; its one budget is `capacity`."""
        return Problem(self.costs, tuple(np.asarray(row, float) for row in scores), self.space.names)

    def project(self, wish: Sequence[int] | np.ndarray) -> np.ndarray:
        """The feasible plan nearest to `wish`; a feasible wish comes back unchanged."""
        wish = np.asarray(wish)
        if self.fits(wish):
            return wish
        if self.layer_ops is None:
            return project(self.costs, wish, self.capacity, names=self.space.names).indices
        return self.solve([-np.abs(row - row[i]) / max(1, row.max()) for row, i in zip(self.costs, wish, strict=True)])

    @cached_property
    def sampler(self) -> FeasibleSampler:
        return FeasibleSampler(self.problem([np.zeros(len(row)) for row in self.costs]), self.capacity)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """A plan drawn uniformly from those of the budget; projected where `max_ops` cuts further."""
        return self.project(self.sampler.sample(rng))


def _sums(rows: Sequence[np.ndarray], plans: np.ndarray) -> np.ndarray:
    found: np.ndarray = sum((row[i] for row, i in zip(rows, plans.T, strict=True)), np.zeros(len(plans), np.int64))
    return found
