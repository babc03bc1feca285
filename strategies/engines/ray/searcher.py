"""Every strategy as a search algorithm of Ray Tune, over the ledger of trials."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.search_space.strict import parse_json
from bankwise.strategies.base import Strategy
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.job import LEDGER
from bankwise.strategies.ledger import Ledger
from bankwise.trainers.store import DIVERGED, FINISHED
from bankwise.trainers.trial import TrialResult

METRICS = tuple(field.name for field in dataclasses.fields(TrialResult))  # of a report, for the ledger
KEPT = ("epoch", "last_epoch", "status", "reason", *METRICS)


class BudgetSearcher(Searcher):
    """Proposes the plans of `strategy`, up to `trials` of them, and tells it their results.

    A config maps each layer to the code of its choice; `make_trainable` trains it. The strategy may be asked while
    trials run. A failed trial is tried again by the rules of every engine (`bankwise.strategies.ledger`), whose
    journal, at `journal` or in a temporary folder, is the searcher's state.

    A trial that a scheduler ended early counts with its latest accuracy, flagged `stopped`. The strategies rank
    (tournaments, quantiles): among the trials of a rung that order is right, and above them are those that went on, as
    the scheduler judged. Left out, a population would have to fill with the few survivors.

    Raises BankwiseError where the mode is not `max`, and as `Ledger` does.
    """

    def __init__(
        self,
        strategy: Strategy,
        trials: int | None = None,
        metric: str = "accuracy",
        mode: str = "max",
        journal: Path | None = None,
        may_begin: Callable[[], bool] | None = None,
        on_begin: Callable[[int, Plan], None] | None = None,
    ):
        super().__init__(metric, mode)
        _check(mode)
        if journal is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="bankwise-searcher-")
            journal = Path(self._temporary.name) / LEDGER
        self.ledger = Ledger(journal, strategy, trials, may_begin=may_begin, on_begin=on_begin)
        for number in list(self.ledger.running):  # of a process that was killed
            self.ledger.lost(number)
        self.running: dict[str, int] = {}  # Ray's trial to the ledger's
        self.latest: dict[str, dict[str, Any]] = {}  # report of each
        self.at_once: int | None = None

    @property
    def strategy(self) -> Strategy:
        return self.ledger.strategy

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Takes the metric of `tune.TuneConfig`; the space is the strategy's, a `param_space` is refused."""
        _check(mode)
        self._metric = metric or self._metric
        return not config

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Called by Ray's ConcurrencyLimiter; the limit is applied here, over the running trials."""
        self.at_once = max_concurrent
        return True

    def occupied(self) -> int:
        """Trials that count against the limit."""
        return len(self.running)

    def suggest(self, trial_id: str) -> Any:
        if self.at_once is not None and self.occupied() >= self.at_once:
            return None
        trial = self.ledger.ask()
        if trial is None:
            return None if self.running else Searcher.FINISHED  # a running one may fail and be tried again
        self.running[trial_id] = trial.number
        return trial.plan.codes

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        value = result.get(self.metric)
        if trial_id in self.running and isinstance(value, Real):
            self.latest[trial_id] = {name: result[name] for name in KEPT if name in result} | {"accuracy": float(value)}

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Ray gives no result where it ends a paused trial: the latest one counts. A trial that is not running, such as
        one that has ended before, is ignored."""
        if result:
            self.on_trial_result(trial_id, result)
        last = self.latest.pop(trial_id, {})
        if trial_id in self.running:
            self.end_trial(trial_id, self.running.pop(trial_id), last, error)

    def end_trial(self, trial_id: str, number: int, last: Mapping[str, Any], error: bool) -> None:
        """Enter the end of a trial of that last report."""
        if error or "accuracy" not in last or last.get("status", FINISHED) != FINISHED:
            reason = last.get("reason") or ("its process died" if error else f"it reported no {self.metric}")
            self.ledger.failed(number, reason, retry=last.get("status") != DIVERGED)
            return
        metrics = {name: last[name] for name in METRICS if name in last}
        if last.get("epoch", 0) < last.get("last_epoch", 0):
            metrics["stopped"] = last["epoch"]
        self.ledger.finished(number, metrics)

    def add_evaluated_point(
        self,
        parameters: dict[str, Any],
        value: float,
        error: bool = False,
        pruned: bool = False,
        intermediate_values: Any = None,
    ) -> None:
        """Import the result of a plan evaluated elsewhere, as a config of either form; a known one stays as it is."""
        if not error:
            self.ledger.imported(PlanEncoding(self.strategy.space).plan(parameters), {"accuracy": value})

    def get_state(self) -> dict[str, Any]:
        """JSON-ready: with it a restored search proposes what the undisturbed one would have."""
        return {"journal": self.ledger.path.read_text("utf-8"), "running": {**self.running}, "latest": {**self.latest}}

    def set_state(self, state: Mapping[str, Any]) -> None:
        old = self.ledger
        old.close()
        old.path.write_text(state["journal"], encoding="utf-8")
        self.running, self.latest = dict(state["running"]), dict(state["latest"])
        self.ledger = Ledger(old.path, old.strategy, old.limit)

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).write_text(json.dumps(self.get_state()), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        try:
            self.set_state(parse_json(Path(checkpoint_path).read_bytes(), "it"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BankwiseError(f"{checkpoint_path!r} is not the state of a search: {error}") from None

    def __getstate__(self) -> tuple[Any, ...]:
        """`tune.Tuner` pickles its searcher; the ledger's lock stays here."""
        return (self.strategy, self.ledger.limit, self._metric, self._mode), self.at_once, self.get_state()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        arguments, at_once, trials = state
        BudgetSearcher.__init__(self, *arguments)
        self.at_once = at_once
        self.set_state(trials)


def _check(mode: str | None) -> None:
    if mode not in (None, "max"):
        raise BankwiseError(f"mode {mode!r}: strategies look for the largest accuracy, mode 'max'")
