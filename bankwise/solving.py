"""The closed-form plan of a budget, as a function."""

from __future__ import annotations

from search_space.budget import Budget
from search_space.plan import Plan
from search_space.shape import NetworkShape
from search_space.space import SearchSpace
from strategies.budgeted import BudgetedSpace
from strategies.scores import log_rate


def solve(
    space: SearchSpace | NetworkShape,
    budget: Budget | str | int,
    *,
    accounting: str = "file",
    max_ram: int | None = None,
    max_ops: int | None = None,
) -> Plan:
    """The plan of largest summed log rate within the budget, exactly; no data, no training.

    `budget` is a Budget, or bytes or text as `Budget.parse` reads them, in `accounting`. `max_ram` bounds the
    activation bytes of split-transform-merge, `max_ops` its operations, both for one image. Raises InfeasibleBudget.

    >>> from bankwise import SearchSpace, price, solve
    >>> from search_space.networks import build
    >>> from search_space.trace import trace
    >>> shape = trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10)
    >>> plan = solve(SearchSpace(shape), "2KiB")
    >>> price(shape, plan).file_bytes <= 2048
    True
    """
    if isinstance(space, NetworkShape):
        space = SearchSpace(space)
    if not isinstance(budget, Budget):
        budget = Budget.parse(budget, space.shape, accounting)
    limited = BudgetedSpace(space, budget, max_ram, max_ops)
    return limited.plan(limited.solve(log_rate(limited)))
