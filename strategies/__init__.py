"""Strategies propose plans; the engines run them. `make_strategy` finds one by name."""

from __future__ import annotations

from search_space.errors import unknown
from strategies.base import Strategy
from strategies.budgeted import BudgetedSpace
from strategies.evolution import Evolution
from strategies.gradient import Gradient
from strategies.random_search import RandomSearch
from strategies.rate import Rate
from strategies.sensitivity import Sensitivity
from strategies.tpe import TPE
from strategies.uniform import Uniform

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (Uniform, RandomSearch, Rate, Sensitivity, Gradient, Evolution, TPE)
}


def make_strategy(name: str, space: BudgetedSpace, seed: int = 0) -> Strategy:
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    return STRATEGIES[name](space, seed)


__all__ = ["STRATEGIES", "BudgetedSpace", "Strategy", "make_strategy"]
