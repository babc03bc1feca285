"""The local engine: ask, try, tell, in this process or in several at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from bankwise.search_space.ranges import in_range
from bankwise.strategies.engines.job import TRIALS, Engine, Job, option
from bankwise.strategies.ledger import Ledger
from bankwise.strategies.trials import Record
from bankwise.trainers.store import TrialStore


@dataclass(frozen=True)
class LocalOptions:
    workers: int = option(
        1,
        "Trials at a time. Several have a process and a share of the CPU threads each, on which rounding hangs; a "
        "strategy that learns (evolution, tpe) proposes each plan with that many fewer results: other plans, the same "
        "for the same number.",
    )

    def __post_init__(self) -> None:
        in_range(1, 1024, workers=self.workers)


class LocalEngine(Engine):
    name = "local"
    help = "on this machine, --workers trials at a time"
    stops_early = True
    Options = LocalOptions

    def run(self, job: Job) -> list[Record]:
        store = TrialStore(job.folder / TRIALS)
        with Ledger(job.ledger, job.strategy, job.trials, may_begin=job.may_begin, on_begin=job.on_begin) as ledger:
            for number in list(ledger.running):  # of a process that was killed
                ledger.lost(number)
            if self.options.workers > 1:
                from bankwise.strategies.engines.side_by_side import run_side_by_side

                run_side_by_side(job, ledger, store, self.options.workers)
            else:
                _one_by_one(job, ledger, store)
            ledger.check()
            return ledger.records


def _one_by_one(job: Job, ledger: Ledger, store: TrialStore) -> None:
    while (trial := ledger.ask()) is not None:
        number, before = trial.number, len(ledger.records)
        ledger.settle(number, store.run(job.task, trial.plan, job.recipe, partial(job.on_epoch, number)))
        job.report(ledger.records[before:])
