"""What an engine is, and what it runs: a strategy's plans, each tried on one task."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.plan import Plan
from bankwise.search_space.strict import typed_fields
from bankwise.strategies.base import Strategy
from bankwise.strategies.journal import FAILED
from bankwise.strategies.trials import Record
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, TaskSource
from bankwise.trainers.trial import TrialResult

LEDGER, TRIALS = "ledger.jsonl", "trials"  # in a job's folder


def _ignore(number: int, event: object) -> None:
    pass


def _always() -> bool:
    return True


def _untold(line: str) -> None:
    pass


@dataclass(frozen=True)
class Job:
    """Up to `trials` plans of `strategy`, each tried by `recipe` on `task` (`bankwise.trainers.store.TrialStore.run`).

    `folder` holds the ledger (`bankwise.strategies.ledger`), the trial store and what else the engine needs: the same
    job, run again, goes on from there and repeats no finished trial. `source` makes the task in another process; None
    where only this one has the data. Every epoch, every result and the reason of every failed trial is reported with
    the trial's number, from 0. `may_begin` is asked before every trial: once it says no, none is begun any more, and
    the job ends with those that run. `on_begin` is told of each trial that this process begins, `tell` what a person
    would want to know, such as the address of an engine's page.
    """

    strategy: Strategy
    task: Task
    recipe: Recipe
    trials: int
    folder: Path
    source: TaskSource | None = None
    on_epoch: Callable[[int, EpochReport], None] = _ignore
    on_result: Callable[[int, dict[str, Any]], None] = _ignore
    on_failure: Callable[[int, str], None] = _ignore
    may_begin: Callable[[], bool] = _always
    on_begin: Callable[[int, Plan], None] = _ignore
    tell: Callable[[str], None] = _untold

    @property
    def ledger(self) -> Path:
        return self.folder / LEDGER

    def report(self, records: Sequence[Record]) -> None:
        """The results and failures of trials that have ended."""
        for record in records:
            if record.number is None:
                continue  # imported from elsewhere
            if record.metrics is not None:
                self.on_result(record.number, record.metrics)
            elif record.status == FAILED:
                self.on_failure(record.number, record.reason)


def option(default: Any, help: str) -> Any:
    """A field of an engine's options, with its help text."""
    return field(default=default, metadata={"help": help})


class Engine(ABC):
    """Runs the trials of a job. No option of an engine changes what a trial computes.

    `Options` is a frozen dataclass whose fields carry their help (`option`); it raises BankwiseError for values that
    can never be.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    stops_early: ClassVar[bool] = False  # asks the job whether a trial may begin
    Options: ClassVar[type]

    def __init__(self, options: Any = None):
        self.options = self.Options() if options is None else options

    def check(self) -> None:  # noqa: B027 - many have nothing to look at
        """Raises BankwiseError where the options cannot be met on this machine, before anything is trained."""

    @abstractmethod
    def run(self, job: Job) -> list[Record]:
        """Run the job or go on with it; the records of its trials in the order of their ends.

        Raises SearchFailed where the first trials all failed, BankwiseError for bad input.
        """

    @property
    def trains_together(self) -> bool:
        """Whether a final network is to be trained by several processes (`train_in_full`)."""
        return False

    def train_in_full(self, task: Task, plan: Plan, recipe: Recipe, file: Path, checkpoint: Path) -> TrialResult:
        """Train one final network by several processes (`bankwise.trainers.group`)."""
        raise BankwiseError(f"the {self.name} engine trains a final network by one process")


def make_options(engine: type[Engine], values: Mapping[str, object]) -> Any:
    """The engine's options. Raises BankwiseError for a name that it does not have, or a value of another type."""
    names = [item.name for item in dataclasses.fields(engine.Options)]
    for name in values:
        if name not in names:
            raise unknown(f"option of the {engine.name} engine", name, names)
    return engine.Options(**typed_fields(engine.Options, values, f"option of the {engine.name} engine"))
