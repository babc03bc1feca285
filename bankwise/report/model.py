"""The Gaussian model of accuracy (`strategies.additive`), fitted to a run's trials whatever strategy proposed them.

It says what bytes are worth at each layer, and of each trial what the others say of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import expit

from bankwise.report.closed_form import space_of
from bankwise.report.gather import Run
from bankwise.result import Trial
from bankwise.search_space.accounting import make_accounting
from bankwise.search_space.families import Choice
from bankwise.strategies.additive.gain import SHARE
from bankwise.strategies.additive.left_out import LeftOut
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, Prior
from bankwise.strategies.additive.scale import LEAST, as_logit, fitted
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.trainers.metric import SHARES

PART = 20  # of the budget: the bytes that a layer is given, or gives
REACH = NormalDist().inv_cdf((1 + SHARE) / 2)  # deviations, of an interval that holds that share


@dataclass(frozen=True)
class Worth:
    """Another choice of one layer of the run's plan: the accuracy that it adds, with its interval, as shares."""

    choice: Choice
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class LayerWorth:
    """The best choice of a layer, by the model, that takes up to so many bytes `more`, and the best that takes at least
    so many `fewer`; None where there is none."""

    name: str
    now: Choice
    more: Worth | None
    fewer: Worth | None


@dataclass(frozen=True)
class Predicted:
    """A trial, and what the others say of it: the median, and the interval that holds `SHARE` of the probability."""

    trial: Trial
    value: float
    low: float
    high: float

    @property
    def held(self) -> bool:
        return self.low <= self.trial.accuracy <= self.high


@dataclass(frozen=True)
class Model:
    """`count` plans were tried; `trials` are empty where there are no two. A layer is given, or gives, so many `bytes`;
    worths are at the accuracy `level` that the run's plan measures.

    `tau` is Kendall's: over all pairs of trials that differ, the share that the other trials order rightly, less the
    share ordered wrongly; None of fewer than `least` trials. Were there no relation, 95 % of such taus would be within
    `by_chance` of 0.
    """

    count: int
    bytes: int
    level: float
    layers: tuple[LayerWorth, ...]
    trials: tuple[Predicted, ...]
    tau: float | None = None
    by_chance: float | None = None
    least: int = LEAST

    @property
    def few(self) -> bool:
        return self.count < self.least

    @property
    def held(self) -> int:
        """Trials within the interval of what the others say."""
        return sum(one.held for one in self.trials)


def model(run: Run) -> Model | None:
    """None where the run is no search in a space, or its metric is no share."""
    if run.budget_bytes is None or run.record is None or run.metric not in SHARES or run.searched.validation is None:
        return None
    space = space_of(run)
    of_plan: dict[
        tuple[int, ...], Trial
    ] = {}  # a uniform plan that was proposed too is trained alike, by the same seed
    for trial in run.trials:
        of_plan.setdefault(tuple(int(i) for i in space.indices(trial.plan)), trial)
    posterior = fitted(Prior(space, DEVIATIONS), [*of_plan], [trial.accuracy for trial in of_plan.values()])
    size, level = max(1, run.budget_bytes // PART), run.searched.validation.mean
    layers = _layers(space, posterior, space.indices(run.plan), size, level)
    trials = _predicted([*of_plan.values()], posterior)
    tau = LeftOut(posterior).tau() if len(trials) >= LEAST else math.nan
    known = (None, None) if math.isnan(tau) else (tau, LeftOut(posterior).by_chance())
    return Model(len(of_plan), size, level, layers, trials, *known)


def _predicted(trials: Sequence[Trial], posterior: Posterior) -> tuple[Predicted, ...]:
    if len(trials) < 2:  # of one trial there are no others
        return ()
    means, deviations = LeftOut(posterior).single()
    return tuple(
        Predicted(trial, *(float(expit(mean + reach * deviation)) for reach in (0, -REACH, REACH)))
        for trial, mean, deviation in zip(trials, means, deviations, strict=True)
    )


def _layers(
    space: BudgetedSpace, posterior: Posterior, plan: np.ndarray, size: int, level: float
) -> tuple[LayerWorth, ...]:
    more = size * make_accounting(space.accounting.name).units_per_byte
    found = []
    for layer, costs in enumerate(space.costs):
        others = np.tile(plan, (len(costs), 1))
        others[:, layer] = np.arange(len(costs))
        means, extra = posterior.mean(others), costs - costs[plan[layer]]
        sides = [(extra > 0) & (extra <= more), extra <= -more]
        best = [int(np.where(side, means, -np.inf).argmax()) if side.any() else None for side in sides]
        choices = space.choices(layer)
        worths = [None if i is None else _worth(choices[i], posterior, others[i], plan, level) for i in best]
        found.append(LayerWorth(space.space.names[layer], choices[plan[layer]], *worths))
    return tuple(found)


def _worth(choice: Choice, posterior: Posterior, other: np.ndarray, plan: np.ndarray, level: float) -> Worth:
    (mean,), (deviation,) = posterior.ahead(other[None], plan)
    logits = as_logit(level) + mean + deviation * np.array([0, -REACH, REACH])
    return Worth(choice, *(float(value - expit(as_logit(level))) for value in expit(logits)))
