"""Ray's schedulers that end or pause trials early, over the epochs of a trial."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import ASHAScheduler, HyperBandScheduler, MedianStoppingRule, TrialScheduler

from bankwise.search_space.errors import unknown
from bankwise.strategies.engines.on_ray import SCHEDULERS

FACTOR = 3  # of the trials that reach a rung one in three goes on
LEAST = 4  # no trial is judged before a quarter of its epochs: the learning rate has not peaked yet
TIME = "epoch"


def make_scheduler(name: str | None, epochs: int, **metric: Any) -> TrialScheduler | None:
    """The scheduler of that name for trials of `epochs` epochs, by their reported `epoch`; None where each runs
    through. `metric` and `mode` are given here or to `tune.TuneConfig`, not to both.

    Raises BankwiseError for an unknown name.
    """
    if name is not None and name not in SCHEDULERS:
        raise unknown("scheduler", name, SCHEDULERS)
    grace = max(1, epochs // LEAST)
    if name == "asha":
        return ASHAScheduler(time_attr=TIME, max_t=epochs, grace_period=grace, reduction_factor=FACTOR, **metric)
    if name == "hyperband":
        return HyperBandScheduler(time_attr=TIME, max_t=epochs, reduction_factor=FACTOR, **metric)
    if name == "median":
        return MedianStoppingRule(time_attr=TIME, grace_period=grace, min_samples_required=FACTOR, **metric)
    return None
