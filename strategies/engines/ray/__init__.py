"""The search on Ray: every strategy as a searcher of Ray Tune, every trial as its trainable, on one machine or many.

`run_ray` is the engine. Its parts can be used with `ray.tune.Tuner` directly: `BudgetSearcher` proposes the plans of a
strategy, `make_trainable` trains them, `importance_space` opens the same space to any other search algorithm of Ray.
"""

from __future__ import annotations

import sys

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.engines.on_ray import VERSIONS

try:
    from bankwise.strategies.engines.ray.configs import importance_bounds, importance_space
    from bankwise.strategies.engines.ray.engine import check_ray, run_ray
    from bankwise.strategies.engines.ray.schedulers import make_scheduler
    from bankwise.strategies.engines.ray.searcher import BudgetSearcher
    from bankwise.strategies.engines.ray.table import table
    from bankwise.strategies.engines.ray.trainable import make_trainable
except (ImportError, AttributeError) as error:  # there is none, or one that calls things otherwise
    there = f", this is {sys.modules['ray'].__version__}" if hasattr(sys.modules.get("ray"), "__version__") else ""
    raise BankwiseError(
        f"the ray engine needs Ray Tune {VERSIONS}{there} ({error}): pip install 'bankwise[ray]'"
    ) from None

__all__ = [
    "BudgetSearcher",
    "check_ray",
    "importance_bounds",
    "importance_space",
    "make_scheduler",
    "make_trainable",
    "run_ray",
    "table",
]
