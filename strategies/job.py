"""What an engine runs: a strategy's plans, each tried on one task. One description for every engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search_space.errors import BankwiseError
from strategies.base import Strategy
from trainers.loop import EpochReport
from trainers.recipe import Recipe
from trainers.task import Task, TaskSource


def _no_epoch(number: int, epoch: EpochReport) -> None:
    pass


def _no_result(number: int, metrics: dict) -> None:
    pass


@dataclass(frozen=True)
class Job:
    """Up to `trials` plans of `strategy`, each tried by `recipe` on `task` (`trainers.trial.run_trial`).

    An engine is a function of a job that returns the records {"plan", "metrics"} of the finished trials, in the order
    in which they finished. It keeps what it needs to resume in `journal` (a JSON file, or a folder of that name without
    the suffix); called again with the same job it goes on from there and repeats no finished trial. `source` makes the
    task in another process; None where only this one has the data. Every epoch and every result is told with the
    trial's number, from 0.
    """

    strategy: Strategy
    task: Task
    recipe: Recipe
    trials: int
    journal: Path
    source: TaskSource | None = None
    on_epoch: Callable[[int, EpochReport], None] = _no_epoch
    on_result: Callable[[int, dict], None] = _no_result


@dataclass(frozen=True)
class EngineOptions:
    """How a job is spread; no option changes what a trial computes. A training by several processes is another one
    than by one alone (`trainers.group`).

    `workers`: trials at a time, and on Ray the processes that train one final network together (`final_workers`, where
    that is to be another number). `address`: of a Ray cluster (`auto`: the one of this machine), None: started for the
    job. `cpus`, `gpus`: of a trial, fractions allowed. `scheduler`: early stopping of trials, by name. `port`: of NNI's
    web page.
    """

    workers: int = 1
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    scheduler: str | None = None
    port: int = 8080
    final_workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise BankwiseError(f"workers={self.workers} must be at least 1")
        if self.final_workers is not None and self.final_workers < 1:
            raise BankwiseError(f"final workers={self.final_workers} must be at least 1")
        if self.cpus <= 0:
            raise BankwiseError(f"cpus={self.cpus} of a trial must be above 0")
        if self.gpus < 0:
            raise BankwiseError(f"gpus={self.gpus} of a trial must be at least 0")
        if not 1 <= self.port <= 65535:
            raise BankwiseError(f"port={self.port} is not from 1 to 65535")

    @property
    def together(self) -> int:
        """Processes that train one final network."""
        return self.workers if self.final_workers is None else self.final_workers
