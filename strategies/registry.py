"""The strategies by name. One is added by its class in STRATEGIES and nowhere else."""

from __future__ import annotations

from bankwise.search_space.errors import unknown
from bankwise.search_space.imports import import_class
from bankwise.strategies.additive.strategy import Thompson
from bankwise.strategies.alone import Alone
from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.evolution import Evolution
from bankwise.strategies.gradient import Gradient
from bankwise.strategies.random_search import RandomSearch
from bankwise.strategies.rate import Rate
from bankwise.strategies.sensitivity import Sensitivity
from bankwise.strategies.tpe import TPE
from bankwise.strategies.uniform import Uniform

STRATEGIES: tuple[type[Strategy], ...] = (
    Evolution, Thompson, Alone, TPE, Gradient, Sensitivity, Rate, RandomSearch, Uniform,
)  # fmt: skip
USERS = "package.module:Name"
__all__ = ["STRATEGIES", "USERS", "BudgetedSpace", "Strategy", "find_strategy", "make_strategy", "strategy_names"]


def strategy_names() -> list[str]:
    return [strategy.name for strategy in STRATEGIES]


def find_strategy(name: str) -> type[Strategy]:
    """The class of that name, or a user's own `package.module:Name`. Raises BankwiseError for anything else."""
    if ":" in name:
        return import_class("strategy", name, Strategy)
    for strategy in STRATEGIES:
        if strategy.name == name:
            return strategy
    raise unknown("strategy", name, [*strategy_names(), USERS])


def make_strategy(name: str, space: BudgetedSpace, seed: int = 0) -> Strategy:
    """A strategy over the plans of `space`. Raises BankwiseError for an unknown name."""
    return find_strategy(name)(space, seed)
