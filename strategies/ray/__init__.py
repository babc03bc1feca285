"""The search on Ray: every strategy as a searcher of Ray Tune, every trial as its trainable, on one machine or many.

`run_ray` is the engine. Its parts can be used with `ray.tune.Tuner` directly: `BudgetSearcher` proposes the plans of a
strategy, `make_trainable` trains them, `importance_space` opens the same space to any other search algorithm of Ray.
"""

from __future__ import annotations

from search_space.errors import BankwiseError

try:
    import ray.tune  # noqa: F401
except ImportError as error:
    raise BankwiseError(f"the ray engine needs Ray Tune ({error}): pip install 'bankwise[ray]'") from None

from strategies.ray.configs import importance_bounds, importance_space
from strategies.ray.engine import check_ray, run_ray
from strategies.ray.schedulers import make_scheduler
from strategies.ray.searcher import BudgetSearcher
from strategies.ray.trainable import make_trainable

__all__ = [
    "BudgetSearcher",
    "check_ray",
    "importance_bounds",
    "importance_space",
    "make_scheduler",
    "make_trainable",
    "run_ray",
]
