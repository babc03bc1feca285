"""The engines by name. Ray and NNI are extras: each is imported when its engine is used."""

from __future__ import annotations

from bankwise.search_space.errors import unknown
from bankwise.search_space.imports import import_class
from bankwise.strategies.engines.job import Engine, make_options
from bankwise.strategies.engines.local import LocalEngine
from bankwise.strategies.engines.on_nni import NniEngine
from bankwise.strategies.engines.on_ray import RayEngine

ENGINES: tuple[type[Engine], ...] = (LocalEngine, NniEngine, RayEngine)


def engine_class(name: str) -> type[Engine]:
    """The engine of that name, or a user's own as `module:Name`. Raises BankwiseError where there is none."""
    known = {engine.name: engine for engine in ENGINES}
    if name in known:
        return known[name]
    if ":" not in name:
        raise unknown("engine", name, [*known, "module:Name"])
    found: type[Engine] = import_class("engine", name, Engine)
    return found


def make_engine(name: str, **options: object) -> Engine:
    """The engine with its `options`. Raises BankwiseError for an unknown engine or option and for bad values."""
    engine = engine_class(name)
    return engine(make_options(engine, options))
