"""Trials side by side, each in a process of its own on this machine.

Trial i begins when the results of all up to i - workers are known, and results are told in the order of the trials: so
what a strategy proposes hangs on their number alone, not on which process was faster. A process that dies takes its own
trial with it alone: the ledger has that tried again.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from bankwise.search_space.files import scratch
from bankwise.search_space.plan import Plan
from bankwise.strategies.engines.crew import ENDED, EPOCH, LOST, Crew, Report, TaskFiles
from bankwise.strategies.engines.job import Job
from bankwise.strategies.ledger import Ledger
from bankwise.strategies.trials import Trial
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import DIED, INTERRUPTED, RUNNING, TrialRecord, TrialStore
from bankwise.trainers.task import Task


def run_side_by_side(job: Job, ledger: Ledger, store: TrialStore, workers: int) -> None:
    """Run the job's trials, up to `workers` at a time, each with its share of torch's threads. Raises BankwiseError
    where the network or the data cannot be sent to another process, and what a trial refuses."""
    threads = max(1, torch.get_num_threads() // workers)
    with scratch() as folder:
        files = TaskFiles.write(job.task, Path(folder))
        with Crew(files, partial(_tried, store), threads) as crew:
            _Desk(job, ledger, store, crew, workers).run()


class _Desk:
    """Hands trials to a crew and takes their results in the order of the trials."""

    def __init__(self, job: Job, ledger: Ledger, store: TrialStore, crew: Crew, workers: int):
        self.job, self.ledger, self.store, self.recipe, self.crew = job, ledger, store, job.recipe, crew
        self.most = workers
        self.open: dict[int, Trial] = {}  # begun and not settled, in their order
        self.ended: dict[int, TrialRecord] = {}  # of these

    def run(self) -> None:
        while self._begin() or self.open:
            while next(iter(self.open)) not in self.ended:
                self._listen()
            self._settle()

    def _begin(self) -> bool:
        """Begin trials while fewer than `most` are open; whether one was begun."""
        begun = False
        while len(self.open) < self.most and (trial := self.ledger.ask()) is not None:
            self.open[trial.number] = trial
            self.crew.give(trial.number, (trial.plan.to_dict(), self.recipe))
            begun = True
        return begun

    def _listen(self) -> None:
        for key, what, value in self.crew.heard():
            trial = self.open[key]  # type: ignore[index]
            if what == EPOCH:
                self.job.on_epoch(trial.number, value)
            elif what == ENDED:
                self.ended[trial.number] = value
            elif what == LOST:
                record = self.store.record(trial.plan, self.recipe)
                if record is None or record.status in (RUNNING, INTERRUPTED):  # by an earlier try, or by itself
                    reason = "" if record is None else record.reason
                    record = TrialRecord(trial.plan, DIED, reason=reason or "its process died")
                self.ended[trial.number] = record

    def _settle(self) -> None:
        """The first of the open trials alone: the next is proposed before the result of another is told."""
        number, before = next(iter(self.open)), len(self.ledger.records)
        del self.open[number]
        self.ledger.settle(number, self.ended.pop(number))
        self.job.report(self.ledger.records[before:])


def _tried(store: TrialStore, task: Task, message: tuple[dict[str, Any], Recipe], report: Report) -> TrialRecord:
    values, recipe = message
    return store.run(task, Plan.from_dict(values, allow_code=True), recipe, report)
