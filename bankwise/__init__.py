"""bankwise finds, for every layer of a convolutional network, the binary basis that is worth its bytes.

    from bankwise import load, plan, search

    result = search("tiny", "digits", "2KiB", "runs/first")  # search, train, export
    network = load(result.model)  # an ordinary torch module, from the file alone

Names are imported when they are first used, so that `import bankwise` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bankwise.child import Child, pack, recalibrate, save
    from bankwise.converting import Conversion, convert
    from bankwise.exporting import export
    from bankwise.plan_report import PlanReport
    from bankwise.planning import plan, solve
    from bankwise.reading_back import Evaluation, evaluate
    from bankwise.result import SearchResult
    from bankwise.search_settings import SearchSettings
    from bankwise.search_space.budget import Budget
    from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
    from bankwise.search_space.limits import Limits
    from bankwise.search_space.networks import build
    from bankwise.search_space.plan import Plan
    from bankwise.search_space.price import price
    from bankwise.search_space.settings import SpaceSettings
    from bankwise.search_space.space import SearchSpace
    from bankwise.search_space.targets.file.container import load
    from bankwise.search_space.trace import trace
    from bankwise.searching import search
    from bankwise.strategies.base import Strategy
    from bankwise.trainers.data import ImageData
    from bankwise.trainers.data_sets import DataSet
    from bankwise.trainers.recipe import Recipe
    from bankwise.trainers.task import TaskSource
    from bankwise.training import train_plan

__version__ = "0.1.0"
__all__ = [
    "BankwiseError",
    "Budget",
    "Child",
    "Conversion",
    "DataSet",
    "Evaluation",
    "ImageData",
    "InfeasibleBudget",
    "Limits",
    "Plan",
    "PlanReport",
    "Recipe",
    "SearchResult",
    "SearchSettings",
    "SearchSpace",
    "SpaceSettings",
    "Strategy",
    "TaskSource",
    "build",
    "convert",
    "evaluate",
    "export",
    "load",
    "pack",
    "plan",
    "price",
    "recalibrate",
    "save",
    "search",
    "solve",
    "trace",
    "train_plan",
]

_HOMES = {
    "bankwise.child": ("Child", "pack", "recalibrate", "save"),
    "bankwise.converting": ("Conversion", "convert"),
    "bankwise.exporting": ("export",),
    "bankwise.plan_report": ("PlanReport",),
    "bankwise.planning": ("plan", "solve"),
    "bankwise.reading_back": ("Evaluation", "evaluate"),
    "bankwise.result": ("SearchResult",),
    "bankwise.search_settings": ("SearchSettings",),
    "bankwise.search_space.budget": ("Budget",),
    "bankwise.search_space.errors": ("BankwiseError", "InfeasibleBudget"),
    "bankwise.search_space.limits": ("Limits",),
    "bankwise.search_space.targets.file.container": ("load",),
    "bankwise.search_space.networks": ("build",),
    "bankwise.search_space.plan": ("Plan",),
    "bankwise.search_space.price": ("price",),
    "bankwise.search_space.settings": ("SpaceSettings",),
    "bankwise.search_space.space": ("SearchSpace",),
    "bankwise.search_space.trace": ("trace",),
    "bankwise.searching": ("search",),
    "bankwise.strategies.base": ("Strategy",),
    "bankwise.trainers.data": ("ImageData",),
    "bankwise.trainers.data_sets": ("DataSet",),
    "bankwise.trainers.recipe": ("Recipe",),
    "bankwise.trainers.task": ("TaskSource",),
    "bankwise.training": ("train_plan",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bankwise' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
