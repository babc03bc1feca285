"""Optuna's tree-structured Parzen estimator over the importance encoding: no trial is ever infeasible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna

from bankwise.search_space.plan import Plan
from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import BOX, ImportanceEncoding
from bankwise.strategies.scores import log_capture

STARTUP = 8
STEPS = 8  # random steps, growing, away from a point whose plan was proposed before


class TPE(Strategy):
    """The first plan is the closed form's.

    A proposal depends on the results so far and a seed drawn for it, not on the sampler's own state, so that a resumed
    search proposes the plans of an uninterrupted one. Many points decode to one plan: where that plan was proposed
    before, the point is moved by random steps that grow.
    """

    name = "tpe"

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.encoding = ImportanceEncoding(space, log_capture(space))
        self.points: dict[tuple[int, ...], list[float]] = {}
        self._box: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.FloatDistribution(*BOX) for name in self.encoding.names
        }
        self._start_study()

    def _start_study(self) -> None:
        self._study, self._seen = _quiet_study(), 0

    def _propose(self) -> np.ndarray:
        point = [0.0] * len(self.encoding.names) if not self.asked else self._suggest()
        indices = self.encoding.decode(point)
        for step in range(STEPS):  # a point beside it costs far less than another suggestion
            if tuple(int(i) for i in indices) not in self._known:
                break
            moved = np.array(point) + self.rng.normal(0, 0.1 * 1.5**step, len(point))
            point = np.clip(moved, *BOX).tolist()
            indices = self.encoding.decode(point)
        plan = tuple(int(i) for i in indices)
        if plan not in self._known:
            self.points[plan] = point
        return indices

    def _suggest(self) -> list[float]:
        for indices, accuracy in self.results[self._seen :]:
            if indices in self.points:
                params = dict(zip(self._box, self.points[indices], strict=True))
                self._study.add_trial(optuna.create_trial(params=params, distributions=self._box, value=accuracy))
        self._seen = len(self.results)
        seed = int(self.rng.integers(2**31))
        self._study.sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, multivariate=True, seed=seed)
        trial = self._study.ask(self._box)
        self._study.tell(trial, state=optuna.trial.TrialState.FAIL)  # only the results above count
        return [trial.params[name] for name in self._box]

    def proposal_state(self, plan: Plan) -> dict[str, Any]:
        return super().proposal_state(plan) | {"point": self.points.get(self._indices(plan))}

    def repeat_proposal(self, plan: Plan, state: Mapping[str, Any]) -> None:
        super().repeat_proposal(plan, state)
        if state["point"] is not None:
            self.points[self._indices(plan)] = list(state["point"])

    def state_dict(self) -> dict[str, Any]:
        points = [[list(indices), point] for indices, point in self.points.items()]
        return super().state_dict() | {"points": points}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.points = {tuple(indices): list(point) for indices, point in state["points"]}
        self._start_study()


def _quiet_study() -> optuna.Study:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(direction="maximize")
    finally:
        optuna.logging.set_verbosity(before)
