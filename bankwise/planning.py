"""Plans by the closed form, before any training: `plan` with everything around them, `solve` for the plan alone.

The score of a plan is the weighted capture (`strategies.scores`); searches start from the same plan.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from torch import nn

from bankwise.expected import expected
from bankwise.plan_report import PlanReport, PricedPlan, ShadowPrices, Staircase
from bankwise.search_space.accounting import DEVICE, Accounting, DeviceAccounting, make_accounting
from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget, short
from bankwise.search_space.limits import Limits
from bankwise.search_space.networks import IN_MEMORY
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.strict import typed
from bankwise.search_space.targets.c.chips import Fit, make_chip
from bankwise.search_space.trace import trace
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.scores import layer_weights, mean_capture, total, weighted_capture
from bankwise.strategies.solver import Problem, Solution, optima, shadow_prices
from bankwise.strategies.uniform import ranked
from bankwise.unspent import unspent

STEPS = 12  # of the staircase
MORE = 1024  # bytes that the shadow prices are for


@typed_arguments("space", "max_ram", "max_ops", "chip")
def plan(
    network: str | nn.Module | NetworkShape | SearchSpace,
    budget: Limits | Budget | str | int | None = None,
    *,
    space: SpaceSettings | None = None,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    accounting: str | Accounting | None = None,
    max_ram: int | None = None,
    max_ops: int | None = None,
    chip: str | None = None,
) -> PlanReport:
    """Price a network and, with a budget, solve for its plan of largest weighted capture; no data, no training.

    `network` is a reference such as "resnet20", a module of any output (which needs `input_shape` (channels, height,
    width) and `classes`), a traced shape or a space; `space` says what layers may be. `budget` is in bytes or text as
    `Budget.parse` reads it, in `accounting` ("file" by default); `max_ram` and `max_ops` are those of `Limits`. The
    staircase runs from the smallest budget to the one beyond which more bytes give no larger score.

    With a `chip`, a name of `search_space.targets.c.chips`, the plan fits into its flash and RAM: the budget is by
    default what the flash has room for, and the accounting "device", or else "device-int8".

    Raises InfeasibleBudget where no plan keeps the limits, BankwiseError for other bad input.

    >>> from bankwise import plan
    >>> report = plan("tiny", "2KiB")
    >>> report.price.file_bytes <= 2048
    True
    >>> bool((report.staircase.file_bytes <= report.staircase.budget_bytes).all())
    True
    """
    shape = _shape(network, space, input_shape, classes)
    module = network if isinstance(network, nn.Module) else None
    asked = None if chip is None else make_chip(chip)
    _check_accounting(budget, accounting)
    counted = make_accounting(accounting or ("file" if asked is None else DEVICE))
    if budget is None:
        if asked is None:
            return _Planner(_space(network, shape, space, math.inf), counted, max_ram, max_ops, module).report()
        limits, text = _limits(asked.constants, shape, counted, max_ram, max_ops), asked.name
    else:
        limits = _limits(budget, shape, counted, max_ram, max_ops)
        text = str(limits.budget.bytes if isinstance(budget, Limits | Budget) else budget)
    counted = make_accounting(limits.budget.accounting)
    made = _space(network, shape, space, limits.budget.bytes)
    fit = None
    if asked is not None:
        fit = asked.fit(shape, _activations(counted), counted.memory(made, module)[0])
    found = _Planner(made, counted, limits.max_ram, limits.max_ops, module).report(limits.budget, text)
    return found if fit is None else on_chip(found, fit)


def _activations(accounting: Accounting) -> str:
    if not isinstance(accounting, DeviceAccounting):
        raise BankwiseError(
            f"a chip holds the constant data of C sources: accounting device or device-int8, not {accounting.name}"
        )
    return accounting.activations


def on_chip(report: PlanReport, fit: Fit) -> PlanReport:
    """The report of a plan on a chip. Raises InfeasibleBudget where its flash is too small."""
    if report.price is not None:
        fit.check(report.price.device_bytes)
    return replace(report, fit=fit)


def fit_of_plan(shape: NetworkShape, plan: Plan, chip: str, accounting: str | None = None) -> Fit:
    """What a given plan takes of the RAM of a chip. Raises InfeasibleBudget where that is too small."""
    from bankwise.search_space.targets.c.target import CTarget

    asked, activations = make_chip(chip), _activations(make_accounting(accounting or DEVICE))
    return asked.fit(shape, activations, CTarget(activations=activations).arena_bytes(shape, plan))


def price_plan(shape: NetworkShape, plan: Plan, budget: Budget | None = None, text: str | None = None) -> PlanReport:
    """The report of a given plan: its price alone; `text` is the budget as the user wrote it.

    Raises BankwiseError where it is no plan of the network, InfeasibleBudget where it is over the budget.
    """
    cost = price(shape, plan)
    if budget is not None:
        taken = make_accounting(budget.accounting).plan_bytes(cost)
        if taken > budget.bytes:
            raise InfeasibleBudget(f"the plan takes {taken:,} bytes, over the budget of {budget}")
    return PlanReport(shape, None if budget is None else budget.accounting, budget, text, plan, cost)


@typed_arguments("max_ram", "max_ops")
def solve(
    space: SearchSpace | NetworkShape,
    budget: Limits | Budget | str | int,
    *,
    accounting: str | Accounting | None = None,
    max_ram: int | None = None,
    max_ops: int | None = None,
) -> Plan:
    """The plan of largest weighted capture in the budget, exactly: the short form of `plan`.

    >>> from bankwise import SearchSpace, price, solve
    >>> from bankwise.search_space.networks import build
    >>> from bankwise.search_space.trace import trace
    >>> shape = trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10)
    >>> plan = solve(SearchSpace(shape), "2KiB")
    >>> price(shape, plan).file_bytes <= 2048
    True
    """
    shape = _shape(space)
    _check_accounting(budget, accounting)
    limits = _limits(budget, shape, make_accounting(accounting or "file"), max_ram, max_ops)
    limited = BudgetedSpace(_space(space, shape, None, limits.budget.bytes), limits)
    return limited.plan(limited.solve(weighted_capture(limited)))


def _check_accounting(budget: object, accounting: str | Accounting | None) -> None:
    """Raises BankwiseError where a budget that has an accounting is to be counted by another."""
    own = budget.budget if isinstance(budget, Limits) else budget
    if accounting is not None and isinstance(own, Budget) and make_accounting(accounting).name != own.accounting:
        raise BankwiseError(f"accounting {make_accounting(accounting).name!r}: the budget is one of {own.accounting!r}")


def _shape(
    network: str | nn.Module | NetworkShape | SearchSpace,
    settings: SpaceSettings | None = None,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> NetworkShape:
    if isinstance(network, SearchSpace | NetworkShape) and (input_shape, classes) != (None, None):
        raise BankwiseError("input_shape and classes: the network was traced with its own already")
    if isinstance(network, SearchSpace):
        if settings is not None:
            raise BankwiseError("space: the network is a SearchSpace, which says what layers may be")
        return network.shape
    keep = settings.keep if settings is not None else ()
    input_shape = typed(tuple[int, int, int] | None, input_shape, "input_shape")
    classes = typed(int | None, classes, "classes")
    if isinstance(network, str):
        from bankwise.inputs import traced

        return traced(network, None, None, input_shape, classes, keep)
    if isinstance(network, nn.Module):
        if input_shape is None or classes is None:
            raise BankwiseError("a module is traced for given images: input_shape and classes are needed")
        return trace(network, IN_MEMORY, input_shape, classes, keep, any_output=True)
    if isinstance(network, NetworkShape):
        return network
    hint = "; give what it makes" if callable(network) else ""
    raise BankwiseError(
        f"network {short(network)}: expected a name, an nn.Module, a NetworkShape or a SearchSpace{hint}"
    )


def _space(network: object, shape: NetworkShape, settings: SpaceSettings | None, budget: float) -> SearchSpace:
    """The space that was given, or that of the shape, of the kinds that are usual for that many bytes."""
    if isinstance(network, SearchSpace):
        return network
    return SearchSpace(shape, (settings or SpaceSettings()).within(budget, shape))


def _limits(
    budget: Limits | Budget | str | int,
    shape: NetworkShape,
    accounting: Accounting,
    max_ram: int | None,
    max_ops: int | None,
) -> Limits:
    if isinstance(budget, Limits):
        if max_ram is not None or max_ops is not None:
            raise BankwiseError("max_ram and max_ops are those of the Limits: say them there")
        return budget
    parsed = budget if isinstance(budget, Budget) else Budget.parse(budget, shape, accounting)
    return Limits(parsed, max_ram, max_ops)


class _Planner:
    """The closed form's answers over a space under `max_ram` and `max_ops`, in one accounting."""

    def __init__(
        self,
        space: SearchSpace,
        accounting: Accounting,
        max_ram: int | None,
        max_ops: int | None,
        network: nn.Module | None = None,
    ):
        self.space, self.accounting, self.max_ram, self.max_ops = space, accounting, max_ram, max_ops
        self.network = network  # in memory
        self._spaces: dict[int, BudgetedSpace] = {}
        largest = accounting.fixed(space.prices) + sum(int(row.max()) for row in accounting.table(space.prices))
        self.largest = accounting.in_bytes(largest)

    def under(self, budget: int) -> BudgetedSpace:
        """The plans of at most `budget` bytes. Raises InfeasibleBudget."""
        if budget not in self._spaces:
            limits = Limits(Budget(budget, self.accounting.name), self.max_ram, self.max_ops)
            self._spaces[budget] = BudgetedSpace(self.space, limits, self.network)
        return self._spaces[budget]

    def report(self, budget: Budget | None = None, text: str | None = None) -> PlanReport:
        if budget is not None:
            self.under(budget.bytes)  # the user's budget is the first to be refused
        free = self.under(self.largest)
        smallest, largest = (
            self._priced(free, free.plan(free.solve([sign * row.astype(float) for row in free.costs])))
            for sign in (-1, 1)
        )
        staircase = Staircase.of(self._staircase(free, smallest))
        if budget is None:
            return PlanReport(self.space.shape, self.accounting.name, space=self.space, smallest=smallest,
                              largest=largest, staircase=staircase)  # fmt: skip
        best, more = self._best(free, [budget.bytes, budget.bytes + MORE])
        cost, limited = price(self.space.shape, best.plan), self.under(budget.bytes)
        return PlanReport(
            self.space.shape, self.accounting.name, budget, text, best.plan, cost,
            best.capture, self._uniform(budget.bytes), self._shadow_prices(best, more), self.space, smallest, largest,
            staircase, unspent(limited, self.accounting.plan_bytes(cost)), expected=expected(limited),
        )  # fmt: skip

    def _problem(self, free: BudgetedSpace) -> tuple[Problem, tuple[int, ...]]:
        """The solver's problem, and its further limits beside the bytes."""
        scores = weighted_capture(free)
        if free.layer_ops is None:
            return free.problem(scores), ()
        costs = tuple(np.stack(pair, 1) for pair in zip(free.costs, free.operations, strict=True))
        return Problem(costs, tuple(scores), self.space.names), (free.layer_ops,)

    def _best(self, free: BudgetedSpace, budgets: list[int]) -> list[PricedPlan]:
        """The plan of largest score for each budget in bytes, exactly."""
        problem, further = self._problem(free)
        found = optima(problem, [self.accounting.capacity(budget) - free.fixed for budget in budgets], further)
        return [self._solved(free, one, budget) for one, budget in zip(found, budgets, strict=True)]

    def _staircase(self, free: BudgetedSpace, smallest: PricedPlan) -> list[PricedPlan]:
        """From the smallest budget to the one beyond which the score grows no more, evenly in the logarithm."""
        enough = self._priced(free, free.plan(free.solve(weighted_capture(free)))).budget_bytes
        least = smallest.budget_bytes
        steps = np.geomspace(max(least, 1), max(enough, 1), STEPS).astype(int)[1:-1]
        between = steps.clip(least, enough)  # rounding leads below the least where it is enough, or nearly
        return self._best(free, sorted({least, *between.tolist(), enough}))

    def _solved(self, free: BudgetedSpace, solution: Solution, budget: int) -> PricedPlan:
        return self._priced(free, free.plan(solution.indices), budget)

    def _priced(self, free: BudgetedSpace, plan: Plan, budget: int | None = None) -> PricedPlan:
        """`plan` and its price; the budget is by default what it takes."""
        cost = price(free.space.shape, plan)
        capture = mean_capture(free, total(weighted_capture(free), free.indices(plan).tolist()))
        own = budget or self.accounting.plan_bytes(cost)
        return PricedPlan(own, cost.file_bytes, cost.paper_bits, capture, plan)

    def _uniform(self, budget: int) -> PricedPlan | None:
        """The uniform plan of largest closed-form score in the budget; None where no uniform plan fits."""
        limited = self.under(budget)
        best = ranked(limited)[:1]
        return self._priced(limited, limited.plan(best[0]), budget) if best else None

    def _shadow_prices(self, best: PricedPlan, more: PricedPlan) -> ShadowPrices:
        """What a budget of MORE further bytes, whose best plan is `more`, would give."""
        changes = {
            name: (str(choice), str(more.plan.layers[name]))
            for name, choice in best.plan.layers.items()
            if choice != more.plan.layers[name]
        }
        return ShadowPrices(MORE, more.capture / best.capture - 1, changes, self._layer_gains(best.budget_bytes))

    def _layer_gains(self, budget: int) -> dict[str, float]:
        if self.max_ops is not None:
            return {}
        limited = self.under(budget)
        extra = self.accounting.capacity(MORE)
        gains = shadow_prices(limited.problem(weighted_capture(limited)), limited.capacity, extra).layers
        own = np.expm1(gains / layer_weights(limited)).tolist()
        return dict(zip(self.space.names, own, strict=True))
