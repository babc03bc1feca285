"""Strategies propose plans; the engines run them. Nothing is imported before it is used: NNI's tuner starts here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bankwise.strategies.registry import (
        STRATEGIES,
        USERS,
        BudgetedSpace,
        Strategy,
        find_strategy,
        make_strategy,
        strategy_names,
    )

DEFAULT = "evolution"  # none of results/bench is better than it on every setting

__all__ = [
    "DEFAULT", "STRATEGIES", "USERS", "BudgetedSpace", "Strategy", "find_strategy", "make_strategy", "strategy_names",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.registry"), name)
