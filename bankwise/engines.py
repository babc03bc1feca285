"""The engines, each imported when it is chosen: Ray and NNI are extras."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from search_space.errors import BankwiseError
from strategies.job import EngineOptions, Job
from trainers.trial import TrialResult


def lazy(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of `module`, imported when it is called."""

    def call(*arguments: object) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments)

    return call


def check_local(options: EngineOptions) -> None:
    for name in ("workers", "address", "cpus", "gpus", "scheduler", "final_workers"):
        given = getattr(options, name)
        if given not in (getattr(EngineOptions(), name), "none"):
            raise BankwiseError(
                f"the local engine runs whole trials, one at a time: {name} {given} needs another engine"
            )


@dataclass(frozen=True)
class Engine:
    """`run` as `strategies.job.Job` says; `check` raises BankwiseError where the options cannot be met, before anything
    is trained. `train_in_full(task, plan, recipe, file, checkpoint, options)` trains one final network by several
    processes; None where the engine cannot."""

    run: Callable[[Job, EngineOptions | None], list[dict]]
    check: Callable[[EngineOptions], None] = lambda options: None
    train_in_full: Callable[..., TrialResult] | None = None

    def __call__(self, job: Job, options: EngineOptions | None = None) -> list[dict]:
        return self.run(job, options)


ENGINES = {
    "local": Engine(lazy("strategies.local", "run_local"), check_local),
    "nni": Engine(lazy("strategies.nni.engine", "run_nni"), lazy("strategies.nni.engine", "check_nni")),
    "ray": Engine(
        lazy("strategies.ray", "run_ray"),
        lazy("strategies.ray", "check_ray"),
        lazy("strategies.ray.training", "train_in_full"),
    ),
}
