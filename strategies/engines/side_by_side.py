"""Trials side by side, each in a process of its own on this machine.

Trial i begins when the results of all up to i - workers are known, and results are told in the order of the trials: so
what a strategy proposes hangs on their number alone, not on which process was faster. A process that dies takes its own
trial with it alone: the ledger has that tried again.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line
from bankwise.search_space.plan import Plan
from bankwise.strategies.engines.job import Job
from bankwise.strategies.engines.shared_images import SharedImages
from bankwise.strategies.ledger import Ledger, Trial
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import DIED, TrialRecord, TrialStore
from bankwise.trainers.task import Task

READY, EPOCH, ENDED, REFUSED = "ready", "epoch", "ended", "refused"  # what a worker says


def run_side_by_side(job: Job, ledger: Ledger, store: TrialStore, workers: int) -> None:
    """Run the job's trials, up to `workers` at a time, each with its share of torch's threads. Raises BankwiseError
    where the network or the data cannot be sent to another process, and what a trial refuses."""
    with tempfile.TemporaryDirectory(prefix="bankwise-workers-") as folder:
        shared = _written(job.task, Path(folder))
        _Desk(job, ledger, store, shared, workers).run()


@dataclass(frozen=True)
class _Shared:
    """A task in files: pickled, and its arrays, which end at these places and which every worker maps. Nothing large
    goes through the pipe of a process that starts: one that dies before it reads would leave this one writing for
    ever."""

    task: Path
    arrays: Path
    ends: tuple[int, ...]

    def read(self) -> Task:
        mapped = np.memmap(self.arrays, mode="r") if self.ends and self.ends[-1] else np.zeros(0, np.uint8)
        parts = [mapped[start:end] for start, end in zip((0, *self.ends), self.ends, strict=False)]
        rest, images = pickle.loads(self.task.read_bytes(), buffers=parts)
        task: Task = dataclasses.replace(rest, data=images.data)
        return task


def _written(task: Task, folder: Path) -> _Shared:
    buffers: list[pickle.PickleBuffer] = []
    parts = (dataclasses.replace(task, data=None), SharedImages(task.data))  # type: ignore[arg-type]
    try:
        pickled = pickle.dumps(parts, protocol=5, buffer_callback=buffers.append)
    except Exception as error:  # whatever a user's network raises
        raise BankwiseError(
            f"workers > 1: the network cannot be sent to another process ({error_line(error)}); define its class in a "
            "module, or use one worker"
        ) from error
    files, ends = (folder / "task", folder / "arrays"), [0]
    files[0].write_bytes(pickled)
    with files[1].open("wb") as stream:
        for buffer in buffers:
            stream.write(buffer.raw())
            ends.append(stream.tell())
    return _Shared(*files, tuple(ends[1:]))


@dataclass
class _Worker:
    process: SpawnProcess
    line: Connection
    trial: Trial | None = None
    ready: bool = False


class _Desk:
    """Hands trials to workers and takes their results in the order of the trials."""

    def __init__(self, job: Job, ledger: Ledger, store: TrialStore, shared: _Shared, workers: int):
        self.job, self.ledger, self.store, self.recipe, self.shared = job, ledger, store, job.recipe, shared
        self.most = workers
        self.workers: list[_Worker] = []
        self.open: list[int] = []  # numbers of trials that were begun and are not settled, in their order
        self.ended: dict[int, TrialRecord] = {}  # of these

    def run(self) -> None:
        try:
            while self._begin() or self.open:
                while self.open[0] not in self.ended:
                    self._listen()
                self._settle()
        finally:
            for worker in self.workers:
                worker.process.terminate()
            for worker in self.workers:
                worker.process.join()
                worker.line.close()

    def _begin(self) -> bool:
        """Begin trials while fewer than `most` are open; whether one was begun."""
        begun = False
        while len(self.open) < self.most and (trial := self.ledger.ask()) is not None:
            free = next((worker for worker in self.workers if worker.trial is None), None)
            if free is None:
                free = self._start()
            free.trial = trial
            self.open.append(trial.number)
            free.line.send((trial.plan.to_dict(), self.recipe))
            begun = True
        return begun

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")  # a fork of a process whose torch has threads may hang
        mine, theirs = context.Pipe()
        threads = max(1, torch.get_num_threads() // self.most)
        process = context.Process(target=_work, args=(theirs, self.shared, self.store, threads), daemon=True)
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, mine))
        return self.workers[-1]

    def _listen(self) -> None:
        """What workers say, or that they died."""
        lines = {worker.line: worker for worker in self.workers if worker.trial is not None}
        for line in wait([*lines]):
            worker = lines[line]  # type: ignore[index]
            try:
                what, value = worker.line.recv()
            except (EOFError, OSError):
                self._died(worker)
                continue
            trial = worker.trial
            assert trial is not None  # only those with a trial are listened to
            if what == READY:
                worker.ready = True
            elif what == EPOCH:
                self.job.on_epoch(trial.number, value)
            elif what == REFUSED:
                raise BankwiseError(value)
            else:
                worker.trial = None
                self.ended[trial.number] = value

    def _died(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.process.join()
        worker.line.close()
        if not worker.ready and (worker.process.exitcode or 0) > 0:  # by itself, not killed
            raise BankwiseError(
                f"a worker process ended before it began (exit code {worker.process.exitcode}): a script that searches "
                'with workers > 1 does so behind `if __name__ == "__main__":`, with its network in a module'
            )
        assert worker.trial is not None
        record = self.store.record(worker.trial.plan, self.recipe)
        self.ended[worker.trial.number] = record or TrialRecord(worker.trial.plan, DIED, reason="its process died")

    def _settle(self) -> None:
        """The first of the open trials alone: the next is proposed before the result of another is told."""
        number, before = self.open.pop(0), len(self.ledger.records)
        self.ledger.settle(number, self.ended.pop(number))
        self.job.report(self.ledger.records[before:])


def _work(line: Connection, shared: _Shared, store: TrialStore, threads: int) -> None:
    """A worker: trial after trial, until the other end is closed. Torch has `threads` CPU threads, its share."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the search ends its workers
    torch.set_num_threads(threads)
    task = shared.read()
    line.send((READY, None))

    def report(epoch: EpochReport) -> None:
        line.send((EPOCH, epoch))

    while True:
        try:
            values, recipe = line.recv()
        except EOFError:
            return
        line.send(_tried(store, task, values, recipe, report))


def _tried(
    store: TrialStore, task: Task, values: Mapping[str, Any], recipe: Recipe, report: Any
) -> tuple[str, TrialRecord | str]:
    try:
        return ENDED, store.run(task, Plan.from_dict(values, allow_code=True), recipe, report)
    except (BankwiseError, OSError) as error:
        return REFUSED, f"{error}"
