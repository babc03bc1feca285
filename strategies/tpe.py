"""Optuna's tree-structured Parzen estimator over the importance encoding: no trial is ever infeasible."""

from __future__ import annotations

import numpy as np
import optuna

from strategies.base import Strategy
from strategies.budgeted import BudgetedSpace
from strategies.encodings import BOX, ImportanceEncoding
from strategies.scores import log_capture

STARTUP = 8


class TPE(Strategy):
    """The first plan is the closed form's. The study is rebuilt from the told points at every ask, so that a resumed
    search proposes what the undisturbed one would have."""

    name = "tpe"

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.encoding = ImportanceEncoding(space, log_capture(space))
        self.points: dict[tuple[int, ...], list[float]] = {}

    def _propose(self) -> np.ndarray:
        point = [0.0] * len(self.encoding.names) if not self.asked else self._suggest()
        indices = self.encoding.decode(point)
        self.points.setdefault(tuple(int(i) for i in indices), point)
        return indices

    def _suggest(self) -> list[float]:
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTUP, multivariate=True, seed=int(self.rng.integers(2**31))
        )
        space = {name: optuna.distributions.FloatDistribution(*BOX) for name in self.encoding.names}
        study = _quiet_study(sampler)
        study.add_trials(
            [
                optuna.create_trial(
                    params=dict(zip(space, self.points[indices], strict=True)), distributions=space, value=accuracy
                )
                for indices, accuracy in self.told
                if indices in self.points
            ]
        )
        trial = study.ask(space)
        return [trial.params[name] for name in space]

    def state_dict(self) -> dict:
        points = [[list(indices), point] for indices, point in self.points.items()]
        return super().state_dict() | {"points": points}

    def load_state_dict(self, state) -> None:
        super().load_state_dict(state)
        self.points = {tuple(indices): list(point) for indices, point in state["points"]}


def _quiet_study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(direction="maximize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(before)
