"""The trials of a search as its journal tells them: which are running, what came back, what failed and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.plan import Plan
from bankwise.strategies.journal import CANCELLED, FAILED, FINISHED, IMPORTED, naming, read_lines

FIRST = 3  # where that many trials failed and none ended well, the search ends


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
        with naming(path):
            for line in read_lines(path)[0][1:]:
                trials.apply(line)
        return trials

    @staticmethod
    def begun(path: Path) -> bool:
        """Whether there is a journal at `path`: one that a kill left without a whole first line was not begun."""
        if not path.exists():
            return False
        with naming(path):
            return bool(read_lines(path)[0])

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
