"""Processes on this machine, each of which reads one task and then does work after work on it.

A process that dies takes the work that it has with it alone.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import signal
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line
from bankwise.strategies.engines.shared_images import SharedImages
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.task import Task

READY, EPOCH, ENDED, REFUSED, LOST = "ready", "epoch", "ended", "refused", "lost"  # what is heard of a process

Report = Callable[[EpochReport], None]
Work = Callable[[Task, Any, Report], Any]  # of a message; its epochs are reported


class NotSent(BankwiseError):
    """A network that cannot be sent to another process."""


@dataclass(frozen=True)
class TaskFiles:
    """A task in files: pickled, and its arrays, which end at these places and which every process maps. Nothing large
    goes through the pipe of a process that starts: one that dies before it reads would leave this one writing for
    ever."""

    task: Path
    arrays: Path
    ends: tuple[int, ...]

    @classmethod
    def write(cls, task: Task, folder: Path) -> TaskFiles:
        """Raises NotSent where it cannot be pickled."""
        buffers: list[pickle.PickleBuffer] = []
        parts = (dataclasses.replace(task, data=None), SharedImages(task.data))  # type: ignore[arg-type]
        try:
            pickled = pickle.dumps(parts, protocol=5, buffer_callback=buffers.append)
        except Exception as error:  # whatever a user's network raises
            raise NotSent(
                f"workers > 1: the network cannot be sent to another process ({error_line(error)}); define its class "
                "in a module, or use one worker"
            ) from error
        files, ends = (folder / "task", folder / "arrays"), [0]
        files[0].write_bytes(pickled)
        with files[1].open("wb") as stream:
            for buffer in buffers:
                stream.write(buffer.raw())
                ends.append(stream.tell())
        return cls(*files, tuple(ends[1:]))

    def read(self) -> Task:
        mapped = np.memmap(self.arrays, mode="r") if self.ends and self.ends[-1] else np.zeros(0, np.uint8)
        parts = [mapped[start:end] for start, end in zip((0, *self.ends), self.ends, strict=False)]
        rest, images = pickle.loads(self.task.read_bytes(), buffers=parts)
        task: Task = dataclasses.replace(rest, data=images.data)
        return task


@dataclass
class _Worker:
    process: SpawnProcess
    line: Connection
    key: Hashable | None = None  # of the work that it has
    ready: bool = False


class Crew:
    """Does `work`, a function of a module, in processes that have `threads` CPU threads each; a context manager that
    ends them. Keys, none of them None, tell one work from another."""

    def __init__(self, files: TaskFiles, work: Work, threads: int):
        self.files, self.work, self.threads = files, work, threads
        self.workers: list[_Worker] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
            worker.line.close()
        self.workers.clear()

    def give(self, key: Hashable, message: object) -> None:
        """Have a process that has nothing to do, or one more, do it."""
        idle = [worker for worker in self.workers if worker.key is None]
        for worker in idle:  # one may have died meanwhile
            if worker.process.is_alive() and _sent(worker, message):
                worker.key = key
                return
            self._remove(worker)
        worker = self._start()
        worker.key = key
        _sent(worker, message)  # one that cannot begin is heard of

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")  # a fork of a process whose torch has threads may hang
        mine, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.files, self.work, self.threads), daemon=True)
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, mine))
        return self.workers[-1]

    def heard(self) -> Iterator[tuple[Hashable, str, Any]]:
        """Wait for news; (key, EPOCH, report), (key, ENDED, result) or (key, LOST, None) of each that has some.

        Raises BankwiseError where a process refuses its work, or cannot begin.
        """
        lines = {worker.line: worker for worker in self.workers if worker.key is not None}
        for line in wait([*lines]):
            worker = lines[line]  # type: ignore[index]
            key = worker.key
            assert key is not None  # only those that have work are listened to
            try:
                what, value = worker.line.recv()
            except (EOFError, OSError):
                self._bury(worker)
                yield key, LOST, None
                continue
            if what == READY:
                worker.ready = True
                continue
            if what == REFUSED:
                raise BankwiseError(value)
            if what == ENDED:
                worker.key = None
            yield key, what, value

    def _remove(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.process.join()
        worker.line.close()

    def _bury(self, worker: _Worker) -> None:
        self._remove(worker)
        if not worker.ready and (worker.process.exitcode or 0) > 0:  # by itself, not killed
            raise BankwiseError(
                f"a worker process ended before it began (exit code {worker.process.exitcode}): a script that searches "
                'with workers > 1 does so behind `if __name__ == "__main__":`, with its network in a module'
            )


def _sent(worker: _Worker, message: object) -> bool:
    """False where the process has ended."""
    try:
        worker.line.send(message)
    except OSError:
        return False
    return True


def _serve(line: Connection, files: TaskFiles, work: Work, threads: int) -> None:
    """A process: work after work, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the crew ends its processes
    torch.set_num_threads(threads)
    task = files.read()
    line.send((READY, None))

    def report(epoch: EpochReport) -> None:
        line.send((EPOCH, epoch))

    while True:
        try:
            message = line.recv()
        except EOFError:
            return
        try:
            line.send((ENDED, work(task, message, report)))
        except (BankwiseError, OSError) as error:
            line.send((REFUSED, f"{error}"))
