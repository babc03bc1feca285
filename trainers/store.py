"""The trial store: one folder for every trial, so that no plan is trained twice and none is lost by a kill.

STORE/KEY/trial.json      the trial's record: running, finished, failed, ... and every epoch's report
STORE/KEY/checkpoint.pt   what an unfinished trial goes on from, to the bit
STORE/KEY/lock            locked by the process that works on the trial
STORE/KEY/asked           locked by one that asks whether another does

KEY names a plan, a recipe and what else the result depends on.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bankwise.search_space import strict
from bankwise.search_space.errors import BankwiseError, short, unknown
from bankwise.search_space.files import sweep, write_text
from bankwise.search_space.imports import raised_at
from bankwise.search_space.plan import Plan
from bankwise.trainers.checkpoint import load_checkpoint
from bankwise.trainers.loop import Diverged, EpochReport, StopTraining
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from bankwise.trainers.trial import run_trial

STATUSES = RUNNING, FINISHED, DIVERGED, CRASHED, INTERRUPTED, DIED = (
    "running", "finished", "diverged", "crashed", "interrupted", "died",
)  # fmt: skip
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_LONGEST = 300  # characters of a reason


@dataclass(frozen=True)
class TrialRecord:
    """What became of a trial.

    `status` is `finished` (with `metrics`, as `TrialResult.metrics` gives them), `diverged` (its loss or weights are no
    numbers: so they would be again), `crashed` (an exception), `interrupted`, `running`, or `died` (its process is gone
    without a word); `reason` is one line for all that did not finish. `epochs` are the reports so far, `time` the
    latest change, in seconds since 1970.
    """

    plan: Plan
    status: str
    metrics: dict[str, Any] | None = None
    reason: str = ""
    epochs: tuple[EpochReport, ...] = ()
    time: float = 0.0

    @property
    def final(self) -> bool:
        """Whether the same trial would end the same way again."""
        return self.status in (FINISHED, DIVERGED)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return values | {"plan": self.plan.to_dict(), "epochs": [dataclasses.asdict(epoch) for epoch in self.epochs]}

    @classmethod
    def from_dict(cls, values: object) -> TrialRecord:
        """The record from the values of `to_dict`.

        Raises:
            BankwiseError: a foreign or missing key, or a value that it cannot have.
        """
        known = strict.read(_Stored, values, "trial")
        plan = Plan.from_dict(known.plan)  # a family of a user's own is known to the process that tries its plan
        return cls(plan, known.status, known.metrics, known.reason, known.epochs, known.time)


@dataclass(frozen=True)
class _Stored:
    """A record as files hold it: every key is needed."""

    plan: dict[str, Any]
    status: str
    metrics: dict[str, Any] | None
    reason: str
    epochs: tuple[EpochReport, ...]
    time: float

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise unknown("trial status", self.status, STATUSES)
        if self.status == FINISHED:
            check_metrics(self.metrics)


def check_metrics(metrics: Mapping[str, object] | None) -> None:
    """Raises BankwiseError unless metrics that a file holds have an accuracy, and their bytes are a number."""
    accuracy, size = (metrics or {}).get("accuracy"), (metrics or {}).get("file_bytes", 0)
    if isinstance(accuracy, bool) or not isinstance(accuracy, (int, float)):
        raise BankwiseError(f"metrics accuracy: {short(accuracy)} is not a number")
    if isinstance(size, bool) or not isinstance(size, int):
        raise BankwiseError(f"metrics file_bytes: {short(size)} is not a whole number")


class TrialStore:
    """The trials below `folder`. `identity` is JSON: what a result depends on besides plan and recipe, such as the data
    description (`TaskSource.to_dict`); trials of another identity have other folders."""

    def __init__(self, folder: Path, identity: Mapping[str, object] | None = None):
        self.folder, self.identity = Path(folder), dict(identity or {})

    def place(self, plan: Plan, recipe: Recipe) -> Path:
        """The trial's folder. Threads and device of a recipe do not count: they change a result to rounding only."""
        values = [self.identity, plan.to_dict(), {**recipe.to_dict(), "threads": None, "device": None}]
        return self.folder / hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def run(
        self,
        task: Task | Callable[[], Task],
        plan: Plan,
        recipe: Recipe,
        report: Callable[[EpochReport], None] | None = None,
        **options: Any,
    ) -> TrialRecord:
        """Train and measure `plan` (`bankwise.trainers.trial.run_trial`, which takes the `options`); its record.

        A trial that is finished or diverged answers from its record, a crashed or interrupted one goes on from its
        checkpoint. A `task` that costs to make is given as a function. `report` sees every epoch from the first one on,
        those of earlier processes too. While another process works on the same trial this one waits.

        An exception of the network's or the data's code makes the trial `crashed`. Raises BankwiseError for bad input,
        OSError where the disk is full, and what `report` raises; an interrupted trial can be resumed.
        """
        place = self.place(plan, recipe)
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock"):
            sweep(place)
            record = _read(place)
            if record is None or not record.final:
                return _Run(place, plan, report).run(task, recipe, options)
        if report is not None:
            for epoch in record.epochs:
                report(epoch)
        return record

    def record(self, plan: Plan, recipe: Recipe) -> TrialRecord | None:
        """The trial's record; None where it has not begun. Raises BankwiseError where the file is damaged."""
        return _settled(self.place(plan, recipe))

    def clear(self, plan: Plan, recipe: Recipe) -> None:
        """Forget how the latest try ended, before the trial is tried again. A checkpoint and a final record stay."""
        place = self.place(plan, recipe)
        record = _settled(place)
        if record is not None and not record.final and record.status != RUNNING:
            (place / "trial.json").unlink(missing_ok=True)

    def records(self) -> list[TrialRecord]:
        """Those of all trials below the folder, in the order of their latest changes."""
        found = (_settled(path.parent) for path in self.folder.glob("*/trial.json"))
        return sorted((record for record in found if record is not None), key=lambda record: record.time)


class _Run:
    """One process's work on a trial."""

    def __init__(self, place: Path, plan: Plan, report: Callable[[EpochReport], None] | None):
        self.place, self.report = place, report
        self.checkpoint = place / "checkpoint.pt"
        self.raised: BaseException | None = None
        self.record = TrialRecord(plan, RUNNING)

    def run(self, task: Task | Callable[[], Task], recipe: Recipe, options: Mapping[str, Any]) -> TrialRecord:
        try:
            for epoch in self._history():
                self._epoch(epoch)
            self._write()
            made = task if isinstance(task, Task) else task()
            plan, checkpoint = self.record.plan, self.checkpoint
            result = run_trial(made, plan, recipe, checkpoint=checkpoint, report=self._epoch, **options)
        except Diverged as error:
            self._write(status=DIVERGED, reason=one_line(error))
        except BankwiseError as error:
            status = INTERRUPTED if error is self.raised or _of_the_disk(error.__context__) else CRASHED
            self._write(status=status, reason=one_line(error))
            raise
        except Exception as error:
            if error is self.raised or _of_the_disk(error):
                self._write(status=INTERRUPTED, reason=one_line(error))
                raise
            self._write(status=CRASHED, reason=one_line(error))
        except BaseException as error:
            self._write(status=INTERRUPTED, reason=type(error).__name__)
            raise
        else:
            self._write(status=FINISHED, metrics=json.loads(json.dumps(result.metrics())))
            self.checkpoint.unlink(missing_ok=True)
        return self.record

    def _history(self) -> list[EpochReport]:
        """The epochs that a trial to be resumed has behind it."""
        if not self.checkpoint.exists():
            return []
        return [EpochReport(**epoch) for epoch in load_checkpoint(self.checkpoint)["history"]]

    def _epoch(self, epoch: EpochReport) -> None:
        self._write(epochs=(*self.record.epochs[: epoch.epoch - 1], epoch))
        try:
            if self.report is not None:
                self.report(epoch)
        except StopTraining:
            raise
        except BaseException as error:
            self.raised = error
            raise

    def _write(self, **changes: Any) -> None:
        self.record = dataclasses.replace(self.record, **changes, time=time.time())
        write_text(self.place / "trial.json", json.dumps(self.record.to_dict(), indent=2) + "\n")


def _of_the_disk(error: BaseException | None) -> bool:
    """Whether the disk is at fault, not the trial."""
    return isinstance(error, OSError) and error.errno in DISK_ERRORS


def _read(place: Path) -> TrialRecord | None:
    path = place / "trial.json"
    try:
        return TrialRecord.from_dict(strict.parse_json(path.read_bytes(), "trial"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BankwiseError(f"{str(path)!r} is damaged ({error}); delete it to try the plan again") from None


def _settled(place: Path) -> TrialRecord | None:
    """What the file says; "running" only while its process lives."""
    record = _read(place)
    if record is None or record.status != RUNNING:
        return record
    with FileLock(place / "asked"):  # or two that ask at once would take each other for that process
        lock = FileLock(place / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return record
        try:
            record = _read(place)  # it may have ended between the first look and the lock
        finally:
            lock.release()
    if record is None or record.status != RUNNING:
        return record
    return dataclasses.replace(record, status=DIED, reason="its process died")


def one_line(error: BaseException) -> str:
    """What an exception says: a BankwiseError's message; of any other its class, its message, and the line of the
    user's code that raised it (of the innermost code, where no frame is the user's)."""
    text = " ".join(str(error).split())
    if isinstance(error, BankwiseError):
        return text[:_LONGEST]
    raised = raised_at(error)
    where = "" if raised is None else f" ({Path(raised.filename).name}:{raised.lineno} in {raised.name})"
    return f"{type(error).__name__}: {text[:_LONGEST]}{where}"
