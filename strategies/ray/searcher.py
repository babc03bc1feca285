"""Every ask/tell strategy as a search algorithm of Ray Tune."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from ray.tune.search import Searcher

from search_space.errors import BankwiseError
from search_space.plan import Plan
from strategies.base import Strategy
from strategies.ray.configs import config_plan, plan_config
from trainers.trial import TrialResult

RETRIES = 2
KEPT = ("epoch", "last_epoch", *(field.name for field in dataclasses.fields(TrialResult)))  # of a result


@dataclass(frozen=True)
class Proposal:
    """A plan under way: its `number` from 0, how often it failed, and the latest result of its trial."""

    number: int
    plan: Plan
    failures: int = 0
    last: Mapping[str, object] | None = None

    @property
    def stopped(self) -> int | None:
        """The epoch after which a scheduler ended the trial early; None for one that ran through."""
        epoch, last = self.last.get("epoch", 0), self.last.get("last_epoch", 0)
        return epoch if epoch < last else None

    def to_dict(self) -> dict:
        return dataclasses.asdict(self) | {"plan": self.plan.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping) -> Proposal:
        return cls(**{**values, "plan": Plan.from_dict(values["plan"])})


class BudgetSearcher(Searcher):
    """Proposes the plans of `strategy`, up to `trials` of them, and tells it what they reached.

    A config maps each layer to the code of its choice; `make_trainable` trains it. The strategy may be asked while
    trials run. A failed trial's plan is proposed again, `retries` times at most. No trial is told twice.

    A trial that a scheduler ended early is told with its latest accuracy, flagged `stopped`. The strategies rank
    (tournaments, quantiles): among the trials of a rung that order is right, and above them are those that went on, as
    the scheduler judged. Not told, a population would have to fill with the few survivors.

    All state is JSON (`get_state`): with it a restored search proposes what the undisturbed one would have.
    """

    def __init__(
        self,
        strategy: Strategy,
        trials: int | None = None,
        retries: int = RETRIES,
        metric: str = "accuracy",
        mode: str = "max",
    ):
        super().__init__(metric, mode)
        self._check_mode(mode)
        self.strategy, self.trials, self.retries = strategy, trials, retries
        self.live: dict[str, Proposal] = {}
        self.again: list[Proposal] = []
        self.given_up: list[Proposal] = []
        self.proposed = 0
        self.exhausted = False
        self.at_once: int | None = None

    @staticmethod
    def _check_mode(mode: str | None) -> None:
        if mode not in (None, "max"):
            raise BankwiseError(f"mode {mode!r}: strategies look for the largest accuracy, mode 'max'")

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict, **spec) -> bool:
        """Takes the metric of `tune.TuneConfig`; the space is the strategy's, a `param_space` is refused."""
        self._check_mode(mode)
        self._metric = metric or self._metric
        return not config

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Called by Ray's ConcurrencyLimiter. The limit is kept here, over the live trials, which a restore knows."""
        self.at_once = max_concurrent
        return True

    def suggest(self, trial_id: str) -> dict | str | None:
        if self.at_once is not None and self.under_way() >= self.at_once:
            return None
        proposal = self._next()
        if proposal is None:
            return None if self.live else Searcher.FINISHED  # a live one may fail and be proposed again
        self.live[trial_id] = proposal
        return plan_config(proposal.plan)

    def under_way(self) -> int:
        return len(self.live)

    def _next(self) -> Proposal | None:
        if self.again:
            return self.again.pop(0)
        if self.exhausted or (self.trials is not None and self.proposed >= self.trials):
            return None
        plan = self.strategy.ask()
        if plan is None:
            self.exhausted = True
            return None
        self.proposed += 1
        return Proposal(self.proposed - 1, plan)

    def on_trial_result(self, trial_id: str, result: Mapping) -> None:
        if trial_id in self.live and self.metric in result:
            self.live[trial_id] = dataclasses.replace(self.live[trial_id], last=self._kept(result))

    def on_trial_complete(self, trial_id: str, result: Mapping | None = None, error: bool = False) -> None:
        """A trial ended: told, or on an error or without a number proposed again. Ray gives no result where it ends a
        paused trial: the latest one counts. Trials that are not live, such as those told before, are ignored."""
        proposal = self.live.pop(trial_id, None)
        if proposal is None:
            return
        if result and self.metric in result:
            proposal = dataclasses.replace(proposal, last=self._kept(result))
        if error or not _is_number(proposal.last):
            self.fail(dataclasses.replace(proposal, failures=proposal.failures + 1, last=None))
        else:
            self.finish(proposal)

    def fail(self, proposal: Proposal) -> None:
        """Propose a failed plan again, or give it up."""
        (self.again if proposal.failures <= self.retries else self.given_up).append(proposal)

    def finish(self, proposal: Proposal) -> None:
        """Tell the strategy of an ended trial."""
        flag = {} if proposal.stopped is None else {"stopped": proposal.stopped}
        self._tell(proposal.plan, {"accuracy": proposal.last["accuracy"]} | flag)

    def _tell(self, plan: Plan, metrics: Mapping[str, object]) -> None:
        indices = tuple(int(i) for i in self.strategy.space.indices(plan))
        if indices not in (told for told, _ in self.strategy.told):
            self.strategy.tell(plan, metrics)

    def _kept(self, result: Mapping) -> dict:
        return {name: result[name] for name in KEPT if name in result} | {"accuracy": result[self.metric]}

    def add_evaluated_point(
        self, parameters: dict, value: float, error: bool = False, pruned: bool = False, intermediate_values=None
    ) -> None:
        """Tell of a plan evaluated elsewhere, as a config of either form; a plan told before is left as it was."""
        if not error:
            self._tell(config_plan(parameters, self.strategy.space), {"accuracy": value})

    def get_state(self) -> dict:
        return {
            "strategy": self.strategy.state_dict(),
            "live": {trial_id: proposal.to_dict() for trial_id, proposal in self.live.items()},
            "again": [proposal.to_dict() for proposal in self.again],
            "given_up": [proposal.to_dict() for proposal in self.given_up],
            "proposed": self.proposed,
            "exhausted": self.exhausted,
        }

    def set_state(self, state: Mapping) -> None:
        self.strategy.load_state_dict(state["strategy"])
        self.live = {trial_id: Proposal.from_dict(values) for trial_id, values in state["live"].items()}
        self.again = [Proposal.from_dict(values) for values in state["again"]]
        self.given_up = [Proposal.from_dict(values) for values in state["given_up"]]
        self.proposed, self.exhausted = state["proposed"], state["exhausted"]

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).write_text(json.dumps(self.get_state()), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        try:
            self.set_state(json.loads(Path(checkpoint_path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BankwiseError(f"{checkpoint_path!r} is not the state of a search: {error}") from None


def _is_number(last: Mapping | None) -> bool:
    accuracy = None if last is None else last["accuracy"]
    return isinstance(accuracy, Real) and math.isfinite(accuracy)
