"""The search behind `BudgetTuner`: a strategy's proposals, what became of them, and a state that survives a kill.

NNI says little of a trial's end: a parameter, not always the one that the trial ran, and not why it ended. So what
became of a plan is read from the trials' own files (`strategies.nni.attempts`) and from the plan that a metric
carries; NNI's calls only say when to look.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from search_space.errors import BankwiseError, unknown
from search_space.files import write_text
from strategies import STRATEGIES, make_strategy
from strategies.base import Strategy
from strategies.budgeted import BudgetedSpace
from strategies.nni import attempts
from strategies.nni.experiment import Experiment
from strategies.nni.points import Indices, Points
from strategies.nni.proposals import Proposals
from strategies.nni.recovery import jobs_run_again, recover

log = logging.getLogger("bankwise.nni")
STATE = "bankwise-tuner.json"
GIVEN = "strategy.json"  # in the folder: the state of a strategy to begin with


class Search:
    """Over the experiment in `folder`. `checkpoint` is NNI's folder for a tuner's state, in that of the experiment.

    `resumed`: when the tuner began (seconds since 1970), where NNI resumes the experiment; None where it is new.
    `held` is how many of the next new trials NNI asks for beside those that it runs again after a resume.
    """

    def __init__(self, folder: Path, strategy: str, seed: int, checkpoint: Path | None, resumed: float | None = None):
        if strategy not in STRATEGIES:
            raise unknown("strategy", strategy, STRATEGIES)
        self.folder, self.strategy, self.seed, self.checkpoint = folder, strategy, seed, checkpoint
        self.name = checkpoint.parent.name if checkpoint else "STANDALONE"
        self.experiment = Experiment.read(folder)
        self.points = Points(self.experiment.budgeted)
        self.proposals = Proposals(self.experiment.budgeted, self._make, self._prepare)
        self.held, self._saved = 0, ""
        self._settled = {attempt.token for attempt in attempts.attempts(folder, self.name)}
        if (folder / GIVEN).exists():
            self.proposals.strategy.load_state_dict(json.loads((folder / GIVEN).read_text(encoding="utf-8")))
            self.proposals.prepared = True
        if resumed is not None and checkpoint is not None:
            self._resume(checkpoint, resumed)

    def _make(self, space: BudgetedSpace) -> Strategy:
        return make_strategy(self.strategy, space, self.seed)

    def _prepare(self, strategy: Strategy) -> None:
        if type(strategy).prepare is Strategy.prepare:
            return
        log.info("preparing strategy %s", strategy.name)
        place = self.folder / "strategy" / "-".join(map(str, strategy.space.sizes))
        strategy.prepare(self.experiment.task(self.folder), place)

    def narrow(self, search_space: object) -> None:
        """Search among the choices that NNI's search space lists; one that cannot be is refused."""
        try:
            if self.proposals.narrow(self.points.kept(search_space)):
                sizes = [len(row) for row in self.proposals.kept]
                log.info("search space changed: %s choices a layer, %d plans told", sizes, len(self.proposals.told))
        except BankwiseError as error:
            log.error("search space refused, the one before stays: %s", error)

    def propose(self, number: int) -> dict[str, str] | None:
        """Parameter `number`, a choice's code for every layer; None where every plan was proposed."""
        self.settle()
        plan = self.proposals.propose(number)
        return None if plan is None else self.points.encode(plan)

    def result(self, number: int, value: object) -> None:
        """The final metric of a trial of parameter `number`."""
        self._take(self._plan_of(value) or self.proposals.pending.get(number), value, f"parameter {number}")

    def take_in(self, data: list) -> None:
        """Finished trials: this experiment's at a resume, or others that the user imports."""
        before = len(self.proposals.told)
        for number, entry in enumerate(data):
            try:
                value = entry["value"]
                plan = self._plan_of(value) or self.points.decode(entry["parameter"])
            except (BankwiseError, TypeError, KeyError) as error:
                log.warning("imported trial %d skipped: %s", number, error)
                continue
            self._take(plan, value, f"imported trial {number}")
        log.info("%d of %d imported trials are new", len(self.proposals.told) - before, len(data))

    def _plan_of(self, value: object) -> Indices | None:
        """The plan that a metric of our trial carries."""
        text = value.get("plan") if isinstance(value, Mapping) else None
        if not isinstance(text, str):
            return None
        try:
            return self.points.read(text)
        except BankwiseError as error:
            log.warning("the plan of a metric is not of this experiment: %s", error)
            return None

    def _take(self, plan: Indices | None, value: object, what: str) -> None:
        accuracy = value.get("default") if isinstance(value, Mapping) else value
        if not isinstance(accuracy, int | float) or isinstance(accuracy, bool) or not 0 <= accuracy <= 1:
            log.warning("%s skipped: %r is not an accuracy between 0 and 1", what, accuracy)
        elif plan is None:
            log.warning("%s skipped: no plan of it is known", what)
        elif self.proposals.result(plan, float(accuracy)):
            log.info("%s: accuracy %.4f of %s", what, accuracy, self.points.text(plan))

    def settle(self) -> None:
        """Act on the trials that ended since the last look."""
        for attempt in attempts.attempts(self.folder, self.name):
            if attempt.state == attempts.RUNNING or attempt.token in self._settled:
                continue
            self._settled.add(attempt.token)
            try:
                plan = self.points.decode(attempt.parameters)
            except BankwiseError:
                continue  # a trial that the user added by hand, and that failed of it
            if plan not in self.proposals.pending.values():
                continue
            if attempt.state == attempts.CANCELLED:
                self.proposals.cancelled(plan)
                log.info("trial %s was cancelled: its plan is not proposed again", attempt.job)
            elif attempt.state != attempts.DONE:
                again = "is proposed again" if self.proposals.crashed(plan) else "is given up"
                log.warning("trial %s %s: its plan %s", attempt.job, attempt.state, again)

    def save(self) -> None:
        """Write what changed since the last time."""
        if self.checkpoint is None:
            return
        text = json.dumps({**self._identity(), "settled": sorted(self._settled), **self.proposals.state_dict()})
        if text == self._saved:
            return
        try:
            write_text(self.checkpoint / STATE, text)
            self._saved = text
        except BankwiseError as error:  # a full disk is no reason to end the experiment
            log.error("%s", error)

    def _identity(self) -> dict[str, object]:
        return {"version": 1, "experiment": self.experiment.to_dict(), "name": self.strategy, "seed": self.seed}

    def _resume(self, checkpoint: Path, began: float) -> None:
        """Take up the state; what NNI runs again stays pending, what it lost is proposed first."""
        try:
            state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
            if {key: state[key] for key in self._identity()} != self._identity():
                raise BankwiseError("it is of another experiment, strategy or seed")
            settled = set(state["settled"])
            self.proposals.load_state_dict(state)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("no state to resume (%s): going on from the finished trials alone", error)
            return
        again = jobs_run_again(checkpoint.parent, began)
        before = [one for one in attempts.attempts(self.folder, self.name) if one.start < 1e9 * began]
        recover(self.proposals, self.points, again, [one for one in before if one.token not in settled])
        self._settled = settled | {one.token for one in before}
        self.held = len(again)
        log.info("resumed: %d plans told, %d trials run again by NNI", len(self.proposals.told), len(again))
