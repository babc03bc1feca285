"""The Ray engine's name and options; Ray itself is imported when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bankwise.search_space.errors import unknown
from bankwise.search_space.plan import Plan
from bankwise.search_space.ranges import above_zero, in_range
from bankwise.strategies.engines.job import Engine, Job, option
from bankwise.strategies.trials import Record
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from bankwise.trainers.trial import TrialResult

VERSIONS = ">=2.60,<2.61"  # of Ray: those that the tests run with
SCHEDULERS = ("none", "asha", "hyperband", "median")


@dataclass(frozen=True)
class RayOptions:
    """A training by several processes is another one than by one alone (`bankwise.trainers.group`)."""

    workers: int = option(1, "Trials at a time.")
    address: str | None = option(None, "Ray cluster: auto (of this machine) or HOST:PORT; default: started here.")
    cpus: float = option(1.0, "CPUs of a trial, fractions allowed.")
    gpus: float = option(0.0, "GPUs of a trial, fractions allowed.")
    scheduler: str | None = option(None, f"Ends poor trials early: {', '.join(SCHEDULERS)}.")
    dashboard: bool = option(False, "Ray's web page, of a Ray that is started here; its address is told.")
    final_workers: int | None = option(None, "Processes that train one final network together; default: workers.")

    def __post_init__(self) -> None:
        in_range(1, workers=self.workers, final_workers=self.final_workers)
        above_zero(cpus=self.cpus)
        in_range(0, gpus=self.gpus)
        if self.scheduler is not None and self.scheduler not in SCHEDULERS:
            raise unknown("scheduler", self.scheduler, SCHEDULERS)

    @property
    def together(self) -> int:
        """Processes that train one final network."""
        return self.workers if self.final_workers is None else self.final_workers


class RayEngine(Engine):
    name = "ray"
    help = "Ray Tune, on this machine or on a cluster"
    stops_early = True
    Options = RayOptions

    def check(self) -> None:
        from bankwise.strategies.engines.ray import check_ray

        check_ray(self.options)

    def run(self, job: Job) -> list[Record]:
        from bankwise.strategies.engines.ray import run_ray

        return run_ray(job, self.options)

    @property
    def trains_together(self) -> bool:
        return bool(self.options.together > 1)

    def train_in_full(self, task: Task, plan: Plan, recipe: Recipe, file: Path, checkpoint: Path) -> TrialResult:
        from bankwise.strategies.engines.ray.training import train_in_full

        return train_in_full(task, plan, recipe, file, checkpoint, self.options)
