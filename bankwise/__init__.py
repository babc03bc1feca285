"""bankwise finds, for every layer of a convolutional network, the binary basis that is worth its bytes.

    from bankwise import SearchSpace, export, load, price, search, solve

    summary = search("tiny", "digits", "2KiB", "runs/first")  # search, train, export
    network = load(summary["model"])  # an ordinary torch module, from the file alone

Names are imported when they are first used, so that `import bankwise` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bankwise.exporting import export
    from bankwise.searching import search
    from bankwise.solving import solve
    from search_space.budget import Budget
    from search_space.modelfile import load
    from search_space.plan import Plan
    from search_space.price import price
    from search_space.space import SearchSpace

__version__ = "0.1.0"
__all__ = ["Budget", "Plan", "SearchSpace", "export", "load", "price", "search", "solve"]

_HOMES = {
    "Budget": "search_space.budget",
    "Plan": "search_space.plan",
    "SearchSpace": "search_space.space",
    "export": "bankwise.exporting",
    "load": "search_space.modelfile",
    "price": "search_space.price",
    "search": "bankwise.searching",
    "solve": "bankwise.solving",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'bankwise' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
