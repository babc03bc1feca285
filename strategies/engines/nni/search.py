"""The search behind `BudgetTuner`: the ledger of its trials, and what their records in the trial store say.

NNI says little of a trial's end: a parameter, not always the one that the trial ran, and not why it ended. So what
became of a plan is read from the trial store and from the plan that a metric carries; NNI's calls only say when to
look.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.strategies import make_strategy
from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.experiment import NO_MORE, Experiment
from bankwise.strategies.engines.nni.listed import get, listed
from bankwise.strategies.engines.nni.search_space import kept_choices
from bankwise.strategies.ledger import Ledger
from bankwise.trainers.metric import possible
from bankwise.trainers.store import INTERRUPTED

log = logging.getLogger("bankwise.nni")
CANCELLED = "Cancelled"  # the reason that a trial which NNI ended leaves behind
LIVE = ("WAITING", "RUNNING", "ADD_RESUMED")  # NNI's words for jobs that run or will
_LOST = 30.0  # seconds for NNI to submit a job
_PATIENCE = 20.0  # seconds for NNI's manager to be listed and to answer


class Search:
    """Over the experiment in `folder`. `checkpoint` is NNI's folder for a tuner's state, in that of the experiment;
    `ledger` a file in the folder (None: one of this NNI experiment alone), `trials` as `Ledger` takes it.

    `resumed`: NNI resumes the experiment. `surplus` is how many of the next new trials NNI asks for beside those that
    it runs again after a resume.
    """

    def __init__(
        self,
        folder: Path,
        strategy: str,
        seed: int,
        checkpoint: Path | None,
        ledger: str | None = None,
        trials: int | None = None,
        resumed: bool = False,
    ):
        self.folder, self.strategy, self.seed = folder, strategy, seed
        self.name = checkpoint.parent.name if checkpoint else "STANDALONE"
        self.experiment = Experiment.read(folder)
        self.store, self.recipe = self.experiment.store(folder), self.experiment.recipe
        self.space = self.experiment.budgeted
        self.points = PlanEncoding(self.space)
        self.kept = [list(range(size)) for size in self.space.sizes]
        self.numbers: dict[int, int] = {}  # of the trial that each of NNI's parameters is for
        self._asked: dict[int, float] = {}  # when each trial was proposed
        self.surplus = 0
        path = folder / (ledger or f"ledgers/{self.name}.jsonl")
        self.ledger = Ledger(path, self._make(self.space), trials, self._prepare, self._rebuild)
        if self.ledger.running or resumed:
            self._go_on(self._run_again() if resumed else None)

    def _make(self, space: BudgetedSpace) -> Strategy:
        return make_strategy(self.strategy, space, self.seed)

    def _prepare(self, strategy: Strategy) -> None:
        if type(strategy).prepare is not Strategy.prepare:
            log.info("preparing strategy %s", strategy.name)
            place = self.folder / "strategy" / "-".join(map(str, strategy.space.sizes))
            strategy.prepare(self.experiment.task(self.folder), place)

    def _rebuild(self, note: Mapping[str, Any]) -> Strategy:
        strategy = self._make(self.space.cut(note["kept"]))
        self.kept = note["kept"]
        return strategy

    def narrow(self, search_space: object) -> None:
        """Search among the choices that NNI's search space lists; one that cannot be is refused."""
        try:
            kept = kept_choices(self.points, search_space)
            if kept == self.kept:
                return
            self.ledger.replace(self._rebuild({"kept": kept}), {"kept": kept})
            sizes = [len(row) for row in kept]
            log.info("search space changed: %s choices a layer, %d results", sizes, len(self.ledger.results))
        except BankwiseError as error:
            log.error("search space refused, the one before stays: %s", error)

    def propose(self, parameter: int) -> dict[str, str] | None:
        """A choice's code for every layer; None where there is no further plan."""
        self.settle()
        if (self.folder / NO_MORE).exists():
            return None
        trial = self.ledger.ask()
        if trial is None:
            self._find_lost()
            trial = self.ledger.ask()
        if trial is None:
            return None
        self.store.clear(trial.plan, self.recipe)
        self.numbers[parameter], self._asked[trial.number] = trial.number, time.monotonic()
        return trial.plan.codes

    def result(self, parameter: int, value: object) -> None:
        """The final metric of a trial of NNI's `parameter`."""
        self.settle()
        plan = self._plan_of(value)
        if plan is None and parameter in self.numbers:
            plan = self.ledger.plans[self.numbers[parameter]]
        self._take(plan, value, f"parameter {parameter}")

    def take_in(self, data: list[Any]) -> None:
        """Finished trials: this experiment's at a resume, or others that the user imports."""
        self.settle()
        before = len(self.ledger.results)
        for number, entry in enumerate(data):
            try:
                value = entry["value"]
                plan = self._plan_of(value) or self.space.plan(self.points.decode(entry["parameter"]))
            except (BankwiseError, TypeError, KeyError) as error:
                log.warning("imported trial %d skipped: %s", number, error)
                continue
            self._take(plan, value, f"imported trial {number}")
        log.info("%d of %d imported trials are new", len(self.ledger.results) - before, len(data))

    def _plan_of(self, value: object) -> Plan | None:
        """The plan that a metric of our trial carries."""
        text = value.get("plan") if isinstance(value, Mapping) else None
        if not isinstance(text, str):
            return None
        try:
            return self.points.read(text)
        except BankwiseError as error:
            log.warning("the plan of a metric is not of this experiment: %s", error)
            return None

    def _take(self, plan: Plan | None, value: object, what: str) -> None:
        accuracy = value.get("default") if isinstance(value, Mapping) else value
        metric = self.recipe.metric
        if not isinstance(accuracy, int | float) or isinstance(accuracy, bool) or not possible(accuracy, metric):
            log.warning("%s skipped: %r is no value of the metric %s", what, accuracy, metric)
        elif plan is None:
            log.warning("%s skipped: no plan of it is known", what)
        elif self.ledger.imported(plan, self._metrics(plan, float(accuracy))):
            log.info("%s: accuracy %.4f", what, accuracy)

    def _metrics(self, plan: Plan, accuracy: float) -> dict[str, Any]:
        """Those of its record; without one (it was imported) what its price says."""
        record = self.store.record(plan, self.recipe)
        if record is not None and record.metrics is not None:
            return record.metrics
        cost = price(self.experiment.shape, plan)
        return {"accuracy": accuracy, "file_bytes": cost.file_bytes, "paper_bits": cost.paper_bits}

    def settle(self) -> None:
        """Take what the records of the running trials say."""
        for number in list(self.ledger.running):
            record = self.store.record(self.ledger.plans[number], self.recipe)
            if record is None:
                continue
            self.ledger.settle(number, record)
            if record.status == INTERRUPTED and record.reason == CANCELLED:
                self.ledger.cancelled(number)
                log.info("trial %d was cancelled: its plan is not proposed again", number)
            elif number not in self.ledger.running and record.metrics is None:
                what = "is proposed again" if number in self.ledger.queue else "is given up"
                log.warning("trial %d %s (%s): its plan %s", number, record.status, record.reason, what)

    def _go_on(self, jobs: Sequence[Plan] | None) -> None:
        """Sort the running trials of a search that was stopped: those that NNI runs again, its `jobs`, stay running, of
        the others a record may say what became of them, and the rest were lost and are proposed again. A job whose
        trial had ended takes a place too, until it has answered from its record. Where nobody knows the jobs (None), a
        trial that was told to end was told so by the stop, not by the user."""
        again = {self.ledger.number(plan) for plan in jobs or ()}
        running = [number for number in self.ledger.running if number in again]
        for number in running:
            self.store.clear(self.ledger.plans[number], self.recipe)
        rest = [number for number in self.ledger.running if number not in again]
        for number in rest if jobs is None else ():
            record = self.store.record(self.ledger.plans[number], self.recipe)
            if record is not None and record.status == INTERRUPTED:
                self.store.clear(record.plan, self.recipe)
        self.settle()
        for number in rest:
            self.ledger.lost(number)
        self.surplus = len(jobs or ())
        log.info("%d trials go on by NNI, %d are proposed again", self.surplus, len(self.ledger.queue))

    def _find_lost(self) -> None:
        """At the end of a search: trials that NNI was given long ago and does not run are proposed again."""
        old = [n for n in self.ledger.running if time.monotonic() - self._asked.get(n, -math.inf) > _LOST]
        jobs = self._run_again() if old else None
        known = {self.ledger.number(plan) for plan in jobs or ()}
        for number in old if jobs is not None else ():
            if number not in known:
                self.ledger.lost(number)

    def _run_again(self) -> list[Plan] | None:
        """The plans of the jobs that run, or that NNI starts again after a resume, as its manager says; None where it
        does not."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                jobs = get(listed()[self.name]["port"], "trial-jobs")
                break
            except (OSError, ValueError, KeyError, BankwiseError) as error:
                if time.monotonic() > end:
                    log.error("NNI's manager does not say which trials it runs (%s)", error)
                    return None
                time.sleep(0.2)
        found = []
        for job in jobs:
            if job.get("status") in LIVE and job.get("hyperParameters"):
                try:
                    found.append(
                        self.space.plan(self.points.decode(json.loads(job["hyperParameters"][0])["parameters"]))
                    )
                except (BankwiseError, ValueError, KeyError):
                    continue  # a trial that the user added by hand
        return found
