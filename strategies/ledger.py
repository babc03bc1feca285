"""The ledger of a search's trials: which are running, what came back, what failed and why. Knows no engine.

The journal is a file of JSON lines that only grows; a line is on disk before it counts. Read again after a kill, it
gives the ledger and the strategy the state of the uninterrupted search: a line of a proposal carries what the strategy
changed by it, so that nothing is proposed anew.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.plan import Plan
from bankwise.search_space.strict import parse_json, read
from bankwise.strategies.base import Strategy
from bankwise.trainers.store import CRASHED, DIED, DIVERGED, TrialRecord, check_metrics

VERSION = 1
RETRIES = 2  # further tries of a trial that raised an exception or whose process died
FIRST = 3  # where that many trials failed and none ended well, the search ends
FINISHED, FAILED, CANCELLED, IMPORTED = "finished", "failed", "cancelled", "imported"
_WAIT = 20.0  # seconds for another process to leave the ledger: one that was killed may take some to end


class SearchFailed(BankwiseError):
    """Every trial failed; the line names the cause."""


@dataclass(frozen=True)
class Trial:
    """A plan to be tried; numbers count from 0. A trial that is tried again keeps its number."""

    number: int
    plan: Plan


@dataclass(frozen=True)
class Record:
    """How a trial ended: `finished` (or `imported` from elsewhere, number None) with metrics, `failed` or `cancelled`
    with a reason. `failures` counts its failed tries."""

    number: int | None
    plan: Plan
    status: str
    metrics: dict[str, Any] | None = None
    reason: str = ""
    failures: int = 0


class Trials:
    """The trials of a journal. `running` and `queue` (to be tried again, before new plans) hold their numbers."""

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path, self.limit = Path(path), limit
        self.plans: list[Plan] = []
        self.running: list[int] = []
        self.queue: list[int] = []
        self.failures: dict[int, int] = {}
        self.records: list[Record] = []
        self.exhausted = False
        self.stopped = False  # no trial is begun any more, in this process
        self._numbers: dict[str, int] = {}
        self._ended: set[str] = set()

    @classmethod
    def read(cls, path: Path, limit: int | None = None) -> Trials:
        """Those of the journal at `path`, which another process may be writing."""
        trials = cls(path, limit)
        with _one_line(path):
            for line in _lines(path)[0][1:]:
                trials.apply(line)
        return trials

    @staticmethod
    def begun(path: Path) -> bool:
        """Whether there is a journal at `path`: one that a kill left without a whole first line was not begun."""
        if not path.exists():
            return False
        with _one_line(path):
            return bool(_lines(path)[0])

    @property
    def results(self) -> list[Record]:
        """The records with metrics, in the order of their ends."""
        return [record for record in self.records if record.metrics is not None]

    def number(self, plan: Plan) -> int | None:
        """Of the trial of `plan`; None where it was not proposed."""
        return self._numbers.get(plan.text)

    def knows(self, plan: Plan) -> bool:
        """Whether the plan was proposed or its result imported."""
        return plan.text in self._numbers or plan.text in self._ended

    def ended(self, plan: Plan) -> bool:
        return plan.text in self._ended

    @property
    def done(self) -> bool:
        """Whether every trial has ended and there is no further one."""
        through = self.exhausted or (self.limit is not None and len(self.plans) >= self.limit)
        return not self.running and (self.stopped or (through and not self.queue))

    def check(self) -> None:
        """Raises SearchFailed where trials failed, none ended well, and there are FIRST of them or no further one. The
        line says what to delete, since a search goes on from its failures."""
        failed = [record for record in self.records if record.status == FAILED]
        if failed and not self.results and (len(failed) >= FIRST or self.done):
            count = "the first trial" if len(failed) == 1 else f"all of the first {len(failed)} trials"
            what = f"choose another folder for other settings, or delete {str(self.path)!r} to try the same again"
            raise SearchFailed(f"{count} failed: {failed[0].reason}; {what}")

    def apply(self, line: Mapping[str, Any]) -> None:
        """One line of a journal."""
        event: str = line["event"]
        number: Any = line.get("number")  # None for an imported result alone
        if event == "ask":
            self._ask(number, line)
        elif event in ("lost", "retry"):
            self._queue(number, failed=event == "retry")
        elif event in (FINISHED, FAILED, CANCELLED, IMPORTED):
            self._end(number, line)
        elif event == "exhausted":
            self.exhausted = True
        elif event == "strategy":
            self.exhausted = False
        elif event != "prepared":
            raise BankwiseError(f"the event {short(event)} is not known")

    def _ask(self, number: int, line: Mapping[str, Any]) -> None:
        self._leave(number)
        self.running.append(number)
        if "plan" in line:
            plan = Plan.from_dict(line["plan"], allow_code=True)
            self._numbers[plan.text] = number
            self.plans.append(plan)

    def _queue(self, number: int, failed: bool) -> None:
        self._leave(number)
        self.queue.append(number)
        if failed:
            self.failures[number] = self.failures.get(number, 0) + 1

    def _leave(self, number: int | None) -> None:
        for numbers in (self.running, self.queue):
            if number in numbers:
                numbers.remove(number)

    def _end(self, number: int | None, line: Mapping[str, Any]) -> None:
        self._leave(number)
        plan = Plan.from_dict(line["plan"], allow_code=True) if number is None else self.plans[number]
        tries = 0 if number is None else self.failures.get(number, 0)
        failures = tries + (line["event"] == FAILED)
        self.records = [record for record in self.records if number is None or record.number != number]
        self.records.append(Record(number, plan, line["event"], line.get("metrics"), line.get("reason", ""), failures))
        self._ended.add(plan.text)


class Ledger(Trials):
    """Up to `trials` trials (None: as many as the strategy has plans), journalled at `path`.

    `prepare(strategy)` is called before a strategy's first proposal. `rebuild(note)` makes the strategy that a
    `replace(strategy, note)` brought. Where the journal exists it is replayed into `strategy`, a fresh one; trials that
    were `running` still are: the engine knows which are `lost`. Once `may_begin` says no, no trial is begun; `on_begin`
    is told of every new one.

    One process at a time has a ledger open. Raises BankwiseError where another has, and where the journal is damaged or
    of another search.
    """

    def __init__(
        self,
        path: Path,
        strategy: Strategy,
        trials: int | None = None,
        prepare: Callable[[Strategy], None] | None = None,
        rebuild: Callable[[dict[str, Any]], Strategy] | None = None,
        may_begin: Callable[[], bool] | None = None,
        on_begin: Callable[[int, Plan], None] | None = None,
    ):
        super().__init__(path, trials)
        self._may_begin, self._on_begin = may_begin, on_begin
        self.strategy = strategy
        self._prepare, self._prepare_anew, self._rebuild = prepare, prepare, rebuild
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=_WAIT)
        except Timeout:
            raise BankwiseError(f"another process works on {str(self.path)!r}: end it first") from None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._lock.release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self) -> None:
        with _one_line(self.path):
            lines, self._size = _lines(self.path) if self.path.exists() else ([], 0)
            if lines:
                self.strategy.load_state_dict(lines[0]["state"])
                self._prepare = None if lines[0]["prepared"] else self._prepare
            for line in lines[1:]:
                self._replay(line)
        if not lines:
            self._append({"ledger": VERSION, "prepared": self._prepare is None, "state": self.strategy.state_dict()})

    def _replay(self, line: Mapping[str, Any]) -> None:
        if line["event"] == "ask" and "plan" in line:
            self.strategy.repeat_proposal(Plan.from_dict(line["plan"], allow_code=True), line["state"])
        elif line["event"] in ("prepared", "exhausted"):
            self.strategy.load_state_dict(line["state"])
            self._prepare = None
        elif line["event"] == "strategy":
            if self._rebuild is None:
                raise BankwiseError("its strategy was replaced: open it with what makes the new one")
            self.strategy, self._prepare = self._rebuild(line["note"]), self._prepare_anew
            self._carry_over()
        self.apply(line)
        self._tell(line)

    def ask(self) -> Trial | None:
        """The next trial: one to be tried again, else a new plan of the strategy; None where there is none now.

        Raises SearchFailed where the first trials all failed.
        """
        self.check()
        self.stopped = self.stopped or (self._may_begin is not None and not self._may_begin())
        if self.stopped:
            return None
        if self.queue:
            number = self.queue[0]
            self._write({"event": "ask", "number": number})
            return Trial(number, self.plans[number])
        if self.exhausted or (self.limit is not None and len(self.plans) >= self.limit):
            return None
        if self._prepare is not None:
            self._prepare(self.strategy)
            self._write({"event": "prepared", "state": self.strategy.state_dict()})
            self._prepare = None
        plan = self.strategy.ask()
        if plan is None:
            self._write({"event": "exhausted", "state": self.strategy.state_dict()})
            return None
        number, state = len(self.plans), self.strategy.proposal_state(plan)
        self._write({"event": "ask", "number": number, "plan": plan.to_dict(), "state": state})
        if self._on_begin is not None:
            self._on_begin(number, plan)
        return Trial(number, plan)

    def finished(self, number: int, metrics: Mapping[str, object]) -> None:
        """The trial's result, {"accuracy": ..., ...}. One that has ended before stays as it was; but for a cancelled
        trial that was finished after all."""
        accuracy = metrics["accuracy"]
        if not isinstance(accuracy, (int, float)) or not math.isfinite(accuracy):
            self.failed(number, f"accuracy {accuracy} is not a number between 0 and 1", retry=False)
        elif not self.ended(self.plans[number]) or self._cancelled(number):
            self._write({"event": FINISHED, "number": number, "metrics": dict(metrics)})

    def failed(self, number: int, reason: str, retry: bool = True) -> bool:
        """The trial failed. With `retry` (an exception, a dead process) it is tried again, RETRIES times at most; one
        that diverged would do so again. True where it is tried again."""
        if self.ended(self.plans[number]):
            return False
        again = retry and self.failures.get(number, 0) < RETRIES
        self._write({"event": "retry" if again else FAILED, "number": number, "reason": reason})
        return again

    def settle(self, number: int, record: TrialRecord) -> None:
        """What the trial store says of a trial that has ended; one that runs or was interrupted stays running."""
        if record.metrics is not None:
            self.finished(number, record.metrics)
        elif record.status in (DIVERGED, CRASHED, DIED):
            self.failed(number, record.reason, retry=record.status != DIVERGED)

    def cancelled(self, number: int, reason: str = "cancelled") -> None:
        """The user ended the trial: it is not tried again, and the strategy learns nothing of it."""
        if not self.ended(self.plans[number]):
            self._write({"event": CANCELLED, "number": number, "reason": reason})

    def _cancelled(self, number: int) -> bool:
        return any(record.number == number and record.status == CANCELLED for record in self.records)

    def lost(self, number: int) -> None:
        """The trial does not run any more through no fault of its own (the search was stopped): it is the next to be
        tried."""
        if number in self.running:
            self._write({"event": "lost", "number": number})

    def imported(self, plan: Plan, metrics: Mapping[str, object]) -> bool:
        """A result from elsewhere; false where the plan's is known."""
        number, before = self.number(plan), len(self.results)
        if number is not None:
            self.finished(number, metrics)
        elif not self.ended(plan):
            self._write({"event": IMPORTED, "plan": plan.to_dict(), "metrics": dict(metrics)})
        return len(self.results) > before

    def replace(self, strategy: Strategy, note: Mapping[str, object]) -> None:
        """Go on with another strategy, over a narrower space say. It takes over the results that lie in its space.
        `note` (JSON) is what `rebuild` makes it from after a kill."""
        self.strategy, self._prepare = strategy, self._prepare_anew
        self._carry_over()
        self._write({"event": "strategy", "note": dict(note)})

    def _carry_over(self) -> None:
        for plan in self.plans:
            if self.strategy.contains(plan):
                self.strategy.skip(plan)
        for record in self.records:
            self._tell_record(record)

    def _tell(self, line: Mapping[str, Any]) -> None:
        if line["event"] in (FINISHED, IMPORTED, FAILED):
            self._tell_record(self.records[-1])

    def _tell_record(self, record: Record) -> None:
        if not self.strategy.contains(record.plan):
            return
        if record.metrics is not None:
            self.strategy.tell(record.plan, record.metrics)
        elif record.status == FAILED:
            self.strategy.fail(record.plan)

    def _write(self, line: Mapping[str, Any]) -> None:
        line = json.loads(json.dumps(line))  # as it will be read again
        self._append(line)
        self.apply(line)
        self._tell(line)

    def _append(self, line: Mapping[str, Any]) -> None:
        """One line, on disk when this returns; or nothing, and an error."""
        data = json.dumps(line).encode() + b"\n"
        try:
            with open(self.path, "ab") as stream:
                stream.truncate(self._size)  # a line that a kill cut off
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise BankwiseError(f"cannot write {str(self.path)!r}: {error.strerror or error}") from None
        self._size += len(data)


@dataclass(frozen=True)
class _Line:
    """A line after the first, as files hold it."""

    event: str
    number: int | None = None
    plan: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    reason: str = ""
    note: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.event in (FINISHED, IMPORTED):
            check_metrics(self.metrics)


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The journal's lines and their bytes; a last one that a kill cut off is left out."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BankwiseError(error.strerror or str(error)) from None
    whole = data[: data.rfind(b"\n") + 1]
    found = []
    for number, text in enumerate(whole.splitlines(), 1):
        line = parse_json(text, f"damaged: line {number}")
        if number > 1:
            read(_Line, line, f"damaged: line {number}")
        elif not isinstance(line, dict):
            raise BankwiseError(f"damaged: line {number} is not a JSON object")
        found.append(line)
    if found and found[0].get("ledger") != VERSION:
        raise BankwiseError(f"version {short(found[0].get('ledger'))} is not known; this release reads {VERSION}")
    return found, len(whole)


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """What is wrong with a journal as one line."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        detail = error if isinstance(error, BankwiseError) else "not a journal of trials"
        raise BankwiseError(f"{str(path)!r}: {detail}; delete it to start the search again") from None
