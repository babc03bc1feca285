"""What the prior expects of one plan over another, before any trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import expit, logit

from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, Deviations, Prior
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.learned import LEARNED, Constants

SHARE = 0.8  # of its probability that an interval holds


@dataclass(frozen=True)
class Gain:
    """The difference between the logits of two accuracies, which is normal."""

    mean: float
    deviation: float

    @property
    def chance(self) -> float:
        """That the difference is above 0."""
        return NormalDist().cdf(self.mean / self.deviation) if self.deviation else float(self.mean > 0)

    @property
    def interval(self) -> tuple[float, float]:
        """That holds `SHARE` of the probability, with equal tails."""
        reach = NormalDist().inv_cdf((1 + SHARE) / 2) * self.deviation
        return self.mean - reach, self.mean + reach

    def points(self, level: float) -> tuple[float, float, float]:
        """In points of accuracy: the median and the ends of the interval, where the other plan has the accuracy
        `level` (0 to 1). The logit is monotone, so that each stays what it is."""
        low, high = self.interval
        moved = expit(logit(level) + np.array([self.mean, low, high]))
        median, low, high = (100 * (float(one) - level) for one in moved)
        return median, low, high


def expected_gain(
    space: BudgetedSpace,
    plan: Sequence[int] | np.ndarray,
    other: Sequence[int] | np.ndarray,
    trainings: float = 3,
    deviations: Deviations = DEVIATIONS,
    constants: Constants = LEARNED,
) -> Gain:
    """Of `plan` over `other`, indices (layers,), as measured: the mean of so many `trainings` of each.

    Costs the same however large the space is: it is cut to the choices of the two.
    """
    rows = [sorted({int(a), int(b)}) for a, b in zip(plan, other, strict=True)]
    prior = Prior(space.cut(rows), deviations, constants)
    both = np.array([[row.index(int(i)) for row, i in zip(rows, one, strict=True)] for one in (plan, other)])
    posterior = Posterior(prior)
    covariance, mean = posterior.covariance(both, both), posterior.mean(both)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] + 2 * deviations.noise**2 / trainings
    return Gain(float(mean[0] - mean[1]), float(np.sqrt(max(variance, 0.0))))
