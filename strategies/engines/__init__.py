"""The engines that run a search's trials. Nothing is imported before it is used: NNI's tuner starts here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bankwise.strategies.engines.job import Engine, Job
    from bankwise.strategies.engines.registry import ENGINES, engine_class, make_engine

__all__ = ["ENGINES", "Engine", "Job", "engine_class", "make_engine"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "job" if name in ("Engine", "Job") else "registry"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
