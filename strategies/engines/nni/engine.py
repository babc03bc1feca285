"""The NNI engine: a job as an NNI experiment on this machine, with NNI's web page, trials in processes of their own."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.files import write_text
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.job import LEDGER, Job
from bankwise.strategies.engines.nni import manager
from bankwise.strategies.engines.nni.config import Launch, write_folder
from bankwise.strategies.engines.nni.experiment import CONFIG, NO_MORE, Experiment
from bankwise.strategies.engines.nni.listed import listed, place
from bankwise.strategies.engines.nni.manager import Manager
from bankwise.strategies.engines.nni.source import anywhere
from bankwise.strategies.engines.on_nni import NniOptions
from bankwise.strategies.ledger import Ledger
from bankwise.strategies.trials import Record, Trials
from bankwise.trainers.checkpoint import save_checkpoint
from bankwise.trainers.loop import EpochReport

NOTE = "nni.json"  # in the folder: the experiment's id, and whether it is over
POLL = 1.0
STALL = 90.0  # seconds in which NNI neither runs a trial nor is about to, before it is started again
ENDED = ("DONE", "STOPPED")


class GoesOnAnew(BankwiseError):
    """A failure of NNI's own that is gone when the experiment is resumed: it gives its tuner ten seconds to start, too
    few where a machine is very busy; and a trial that got lost on the way to it or back is waited for for ever."""


def run_nni(job: Job, options: NniOptions) -> list[Record]:
    """Run the job's trials, `options.workers` at a time; their records in the order of their ends.

    The job's folder is an NNI experiment's (`bankwise.strategies.engines.nni.experiment`); `bankwise nni export` reads
    it. With one worker and no scheduler the plans are the local engine's. A trial that is tried again is another
    process of NNI's. Interrupted, the experiment is stopped; called again it is resumed, or followed where it still
    runs. Once the job says that no trial may begin, the experiment ends with those that run.
    """
    folder = job.folder.absolute()
    experiment = describe(job)
    _write(folder, experiment, job, options)
    (folder / NO_MORE).unlink(missing_ok=True)
    if not (_note(folder).get("over") and Trials.read(folder / LEDGER, job.trials).done):
        for tried in range(1, manager.TRIES + 1):
            try:
                id = _watched(folder, job, experiment, options.port)
                break
            except GoesOnAnew:
                if tried == manager.TRIES:
                    raise
        write_text(folder / NOTE, json.dumps({"id": id, "over": True}))
    trials = Trials.read(folder / LEDGER, job.trials)
    trials.check()
    return trials.records


def _watched(folder: Path, job: Job, experiment: Experiment, port: int) -> str:
    """Follow the experiment, which this begins or goes on with, to its end; its id."""
    with _running(folder, _note(folder).get("id"), port) as running:
        job.tell(f"NNI's web page: http://127.0.0.1:{running.port}")
        _Watch(running, folder, job, experiment).until_the_end()
        return running.id


def describe(job: Job) -> Experiment:
    """The job in plain values. An error where there are none: data in memory alone, or a space cut by hand."""
    if job.source is None:
        raise BankwiseError("the nni engine needs data that another process can read: give their name, not the data")
    source, code = anywhere(job.source, job.recipe)
    limited = job.strategy.space
    experiment = Experiment(
        source=source,
        training=job.task.recipe,
        budget=str(limited.budget.bytes),
        input_shape=job.task.shape.input_shape,
        classes=job.task.shape.classes,
        accounting=limited.budget.accounting,
        max_ram=limited.limits.max_ram,
        max_ops=limited.max_ops,
        space=limited.space.settings.decided,
        trial_epochs=job.recipe.epochs,
        teacher=job.task.teacher is not None,
        seed=job.recipe.seed,
        code=code,
        identity=job.task.identity(),
    )
    if PlanEncoding(experiment.budgeted).codes != PlanEncoding(limited).codes:
        raise BankwiseError("the nni engine needs a search space as SpaceSettings describes it, not one cut by hand")
    if experiment.recipe != job.recipe:
        raise BankwiseError("the nni engine's trials take the recipe of the task's source, but for epochs and seed")
    return experiment


def _write(folder: Path, experiment: Experiment, job: Job, options: NniOptions) -> None:
    launch = Launch(
        strategy=job.strategy.name,
        trials=job.trials,
        concurrency=options.workers,
        assessor=options.assessor,
        ledger=LEDGER,
    )
    write_folder(folder, experiment, launch)
    if job.task.teacher is not None and not (folder / "teacher-weights.pt").exists():
        save_checkpoint(folder / "teacher-weights.pt", {"model": job.task.teacher.state_dict()})
    if not Trials.begun(folder / LEDGER):  # begins with what the strategy has prepared
        Ledger(folder / LEDGER, job.strategy, job.trials).close()


def _note(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((folder / NOTE).read_text(encoding="utf-8")))
    return {}


@contextlib.contextmanager
def _running(folder: Path, id: str | None, port: int) -> Iterator[Manager]:
    """The experiment's manager: the one that runs, resumed, or new. It ends with the block."""

    def note(name: str) -> None:
        write_text(folder / NOTE, json.dumps({"id": name}))

    running = None if id is None else manager.attach(id)
    if running is None:
        running = manager.start(folder / CONFIG, port, note, id if id in listed() else None)
    try:
        yield running
    finally:
        running.stop()
        manager.end_tuners(running.id)


class _Watch:
    """Follows an experiment and reports what is new since it began to."""

    def __init__(self, running: Manager, folder: Path, job: Job, experiment: Experiment):
        self.running, self.folder, self.job = running, folder, job
        self.store = experiment.store(folder)
        self.epochs: dict[int, int] = {}
        self.stopped = False
        self.trials = Trials.read(folder / LEDGER, job.trials)
        self.reported = {record.number for record in self.trials.records}
        for number in self.trials.running:
            self.epochs[number] = len(self._epochs(number))

    def until_the_end(self) -> None:
        """Until every trial has ended. Raises BankwiseError where NNI cannot go on."""
        moved = time.monotonic()
        while True:
            self._look()
            self.trials.check()
            if self.trials.done:
                return
            self._stop_in_time()
            try:
                status, errors = self.running.status()
            except (OSError, ValueError):
                if not self.running.lives():
                    raise BankwiseError(f"NNI's manager has ended{self._advice()}") from None
                status, errors = "", []
            if status in ENDED:
                self._look()
                return
            if status == "ERROR":
                self._look()
                self.trials.check()
                failed = GoesOnAnew if any("did not connect" in error for error in errors) else BankwiseError
                raise failed(f"NNI's experiment {self.running.id} failed: {'; '.join(errors)}{self._advice()}")
            still = time.monotonic() - moved
            if still > STALL / 9 and self.running.works():
                moved = time.monotonic()
            elif still > STALL:
                raise GoesOnAnew(f"NNI's experiment {self.running.id} stands still{self._advice()}")
            time.sleep(POLL)

    def _stop_in_time(self) -> None:
        """Tell the tuner, where no trial may begin any more. It is heeded at the next look: it may be proposing."""
        if self.stopped or self.job.may_begin():
            return
        write_text(self.folder / NO_MORE, "")
        self.stopped = True

    def _look(self) -> None:
        self.trials = Trials.read(self.folder / LEDGER, self.job.trials)
        self.trials.stopped = self.stopped
        ended = [record for record in self.trials.records if record.number not in self.reported]
        for number in (*(record.number for record in ended if record.number is not None), *self.trials.running):
            epochs = self._epochs(number)
            for epoch in epochs[self.epochs.get(number, 0) :]:
                self.job.on_epoch(number, epoch)
            self.epochs[number] = max(self.epochs.get(number, 0), len(epochs))
        self.reported |= {record.number for record in ended}
        self.job.report(ended)

    def _epochs(self, number: int) -> tuple[EpochReport, ...]:
        record = self.store.record(self.trials.plans[number], self.job.recipe)
        return () if record is None else record.epochs

    def _advice(self) -> str:
        return f"; {place(self.running.id) / 'log'} says why; the same command goes on from there"
