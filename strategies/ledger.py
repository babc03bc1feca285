"""The ledger of a search's trials: it asks the strategy, tells it what came back, and journals both. Knows no engine.

Read again after a kill, the journal gives the ledger and the strategy the state of the uninterrupted search: a line of
a proposal carries what the strategy changed by it, so that nothing is proposed anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.strategies.base import Strategy
from bankwise.strategies.journal import CANCELLED, FAILED, FINISHED, IMPORTED, VERSION, append_line, naming, read_lines
from bankwise.strategies.trials import Record, Trial, Trials
from bankwise.trainers.store import CRASHED, DIED, DIVERGED, TrialRecord

RETRIES = 2  # further tries of a trial that raised an exception or whose process died
_WAIT = 20.0  # seconds for another process to leave the ledger: one that was killed may take some to end


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
        with naming(self.path):
            lines, self._size = read_lines(self.path) if self.path.exists() else ([], 0)
            if lines:
                self.strategy.load_state_dict(lines[0]["state"])
                self._prepare = None if lines[0]["prepared"] else self._prepare
            for line in lines[1:]:
                self._replay(line)
        if not lines:
            first = {"ledger": VERSION, "prepared": self._prepare is None, "state": self.strategy.state_dict()}
            self._size = append_line(self.path, 0, first)

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
            self.failed(number, f"accuracy {accuracy} is not a finite number", retry=False)
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
        self._size = append_line(self.path, self._size, line)
        self.apply(line)
        self._tell(line)
