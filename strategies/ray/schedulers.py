"""Ray's schedulers that end or pause trials early, over the epochs of a trial."""

from __future__ import annotations

from ray.tune.schedulers import ASHAScheduler, HyperBandScheduler, MedianStoppingRule, TrialScheduler

from search_space.errors import unknown

SCHEDULERS = ("asha", "hyperband", "median", "none")
FACTOR = 3  # of the trials that reach a rung one in three goes on
LEAST = 4  # no trial is judged before a quarter of its epochs: the learning rate has not peaked yet
TIME = "epoch"


def check_scheduler(name: str | None) -> None:
    if name is not None and name not in SCHEDULERS:
        raise unknown("scheduler", name, SCHEDULERS)


def make_scheduler(name: str | None, epochs: int, **metric: str) -> TrialScheduler | None:
    """The scheduler of that name for trials of `epochs` epochs, by their reported `epoch`; None where each runs
    through. `metric` and `mode` are given here or to `tune.TuneConfig`, not to both."""
    check_scheduler(name)
    if name == "asha":
        return ASHAScheduler(**asha_settings(epochs), **metric)
    if name == "hyperband":
        return HyperBandScheduler(time_attr=TIME, max_t=epochs, reduction_factor=FACTOR, **metric)
    if name == "median":
        return MedianStoppingRule(time_attr=TIME, grace_period=_grace(epochs), min_samples_required=FACTOR, **metric)
    return None


def asha_settings(epochs: int) -> dict:
    return dict(time_attr=TIME, max_t=epochs, grace_period=_grace(epochs), reduction_factor=FACTOR)


def _grace(epochs: int) -> int:
    return max(1, epochs // LEAST)
