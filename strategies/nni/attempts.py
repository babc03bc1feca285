"""What became of each started trial process, told by files, since NNI does not tell.

NNI shows a trial that was killed by a signal (out of memory, `kill -9`) as USER_CANCELED, like one that the user or an
assessor cancelled; a tuner learns of either only that the trial did not succeed, and with several trials at a time NNI
may hand a parameter to another job than the one it names at the end. So every trial keeps a file of its own: which
parameters it got, and how it ended. It holds a lock while it lives; one that is "running" with its lock free has died.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from search_space.files import write_text

FOLDER = "attempts"
RUNNING, DONE, CANCELLED, FAILED, DIED = "running", "done", "cancelled", "failed", "died"
STOPPED = "stopped"  # by itself, as NNI's manager was gone


@dataclass(frozen=True)
class Attempt:
    """One start of the trial `job` of the NNI experiment `experiment`; `start` (nanoseconds) tells its starts apart."""

    experiment: str
    job: str
    start: int
    parameters: Mapping[str, object]
    state: str = RUNNING
    message: str = ""

    @property
    def token(self) -> str:
        return f"{self.job}@{self.start}"


class Held:
    """The attempt of this process: written at once, locked until `end`."""

    def __init__(self, folder: Path, experiment: str, job: str, parameters: Mapping):
        self.path = folder / FOLDER / f"{experiment}-{job}.json"
        self.attempt = Attempt(experiment, job, time.time_ns(), parameters)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path.with_suffix(".lock"))
        self._lock.acquire()
        self._write()

    def end(self, state: str, message: str = "") -> None:
        self.attempt = dataclasses.replace(self.attempt, state=state, message=message)
        self._write()
        self._lock.release()

    def _write(self) -> None:
        write_text(self.path, json.dumps(dataclasses.asdict(self.attempt)))


def attempts(folder: Path, experiment: str | None = None) -> list[Attempt]:
    """Every attempt of the experiment (of all that used the folder), the oldest first."""
    found = (_settled(path) for path in (folder / FOLDER).glob(f"{experiment or '*'}-*.json"))
    mine = [one for one in found if one is not None and experiment in (None, one.experiment)]
    return sorted(mine, key=lambda one: one.start)


def _settled(path: Path) -> Attempt | None:
    """What the file says; "running" only while its process lives."""
    attempt = _read(path)
    if attempt is None or attempt.state != RUNNING:
        return attempt
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return attempt
    try:
        attempt = _read(path)  # it may have ended between the first look and the lock
    finally:
        lock.release()
    died = attempt is not None and attempt.state == RUNNING
    return dataclasses.replace(attempt, state=DIED) if died else attempt


def _read(path: Path) -> Attempt | None:
    """None where the file is not one of ours."""
    try:
        return Attempt(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
