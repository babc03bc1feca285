"""What is believed of a plan's accuracy before any trial: a Gaussian distribution over the worth of every choice.

The logit of a plan's accuracy is taken as

    start + sum over layers of [(slope + tilt_l) x_l(c) + smooth_l(c) + family_l(c) + own_l(c)] + together(plan)

where x_l(c) is the closed form's score of choice c at layer l, or another score that is a sum over layers, 0 for the
choice of the score's best plan. All terms are Gaussian, their variances relative to the layer's weight in the closed
form: `smooth` varies slowly in log bytes and log capture, `family` is shared by the choices of one family, whole
kernels apart from split ones, `own` is of one choice alone; `together` is what layers do to each other, alike for plans
that share many choices.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.learned import LEARNED, Constants
from bankwise.strategies.portfolio import families
from bankwise.strategies.scores import Scores, layer_weights, log_capture, weighted_capture

JITTER = 1e-9


@dataclass(frozen=True)
class Deviations:
    """Standard deviations of the terms, in logits; `slope_mean` is the mean of `slope`. `length` is that of `smooth`,
    in natural logs; `apart` the share of layers that two plans differ in at which `together` has fallen by e."""

    slope_mean: float = 0.161
    slope: float = 0.078
    tilt: float = 0.068
    smooth: float = 0.159
    family: float = 0.013
    own: float = 0.149
    together: float = 0.242
    noise: float = 0.156
    start: float = 2.0
    length: float = 1.0
    apart: float = 0.5

    def scaled(self, worth: float, noise: float) -> Deviations:
        """All terms but the start `worth` times as large, the noise `noise` times."""
        terms = ("slope_mean", "slope", "tilt", "smooth", "family", "own", "together")
        larger = {name: worth * getattr(self, name) for name in terms}
        return dataclasses.replace(self, noise=noise * self.noise, **larger)


DEVIATIONS = Deviations()


class Prior:
    """Of every layer `x` (choices,), the `covariance` (choices, choices) of smooth, family and own together, and how
    `alike` (choices, choices) two choices are, 0 to 1. `best` is the closed form's plan."""

    def __init__(self, space: BudgetedSpace, deviations: Deviations, constants: Constants = LEARNED) -> None:
        scores = weighted_capture(space, constants)
        self.best = tuple(int(i) for i in space.solve(scores))
        self.x = [row - row[i] for row, i in zip(scores, self.best, strict=True)]
        self._weights = layer_weights(space, constants)
        self._near, self._same = [], []
        for i, (captures, kinds) in enumerate(zip(log_capture(space, constants), families(space), strict=True)):
            layer = space.space.shape.layers[i]
            where = np.column_stack([np.log(np.maximum(space.costs[i], 1)), captures]) / deviations.length
            self._near.append(np.exp(-((where[:, None] - where[None]) ** 2).sum(-1) / 2))
            whole = np.array([(choice.kernel_parts(layer) or 1) == 1 for choice in space.choices(i)])
            self._same.append((kinds[:, None] == kinds[None]) & (whole[:, None] == whole[None]))
        self.alike = [near * same for near, same in zip(self._near, self._same, strict=True)]
        self._set(deviations)

    def _set(self, d: Deviations) -> None:
        self.deviations = d
        self.covariance = [
            float(weight) ** 2 * (d.smooth**2 * near + d.family**2 * same + d.own**2 * np.eye(len(near)))
            for weight, near, same in zip(self._weights, self._near, self._same, strict=True)
        ]

    @cached_property
    def roots(self) -> list[np.ndarray]:
        """Cholesky factors of `covariance`."""
        return [np.linalg.cholesky(row + JITTER * np.eye(len(row))) for row in self.covariance]

    def of(self, deviations: Deviations) -> Prior:
        """The prior of other deviations, of the same `length`."""
        other = copy.copy(self)
        other.__dict__.pop("roots", None)
        other._set(deviations)
        return other

    def following(self, space: BudgetedSpace, scores: Scores) -> Prior:
        """The prior whose mean follows `scores` in place of the closed form's, in their units; so does `best`."""
        other = copy.copy(self)
        other.best = tuple(int(i) for i in space.solve(scores))
        other.x = [row - row[i] for row, i in zip(scores, other.best, strict=True)]
        return other
