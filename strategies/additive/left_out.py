"""What a posterior would say of its trials had it not seen them, in closed form."""

from __future__ import annotations

import numpy as np

from bankwise.strategies.additive.posterior import Posterior


class LeftOut:
    """Leave-one-out and leave-pair-out predictions of the values of a posterior's trials, noise included, from the
    inverse of their covariance (Rasmussen & Williams 2006, section 5.4.2)."""

    def __init__(self, posterior: Posterior) -> None:
        self.values = posterior.values
        self._precision = posterior.precision()
        self._means = posterior.prior_mean(posterior.plans)

    def single(self) -> tuple[np.ndarray, np.ndarray]:
        """What the other trials say of the value of each: the means and the deviations, (trials,)."""
        own = np.diag(self._precision)
        return self.values - self._precision @ (self.values - self._means) / own, 1 / np.sqrt(own)

    def tau(self, values: np.ndarray | None = None) -> float:
        """Kendall's tau over all pairs of trials of different values: the share that all trials but these two order
        rightly, less the share ordered wrongly; NaN where all values are equal. `values` (trials,): were they these.

        Not of predictions of one trial each: of one left out even a constant predicts less the better it was, as the
        mean of the others, and of a pair nothing (Airola et al., Computational Statistics & Data Analysis 2011).
        """
        values = self.values if values is None else values
        signs = np.sign(values[:, None] - values[None])
        count = np.abs(signs).sum()
        return float((np.sign(self.pairs(values)) * signs).sum() / count) if count else float("nan")

    def pairs(self, values: np.ndarray) -> np.ndarray:
        """Predicted differences between the values of pairs that are left out, (trials, trials): of row less column."""
        own, left = np.diag(self._precision), self._precision @ (values - self._means)
        determinant = np.outer(own, own) - self._precision**2 + np.eye(len(own))  # no pair is a trial and itself
        missed = (left[:, None] * own[None] - self._precision * left[None]) / determinant
        return np.asarray(values[:, None] - values[None] - (missed - missed.T))

    def by_chance(self, shuffles: int = 200) -> float:
        """How far from 0 `tau` is in 95 % of shuffles of the values among the plans."""
        rng = np.random.default_rng(0)
        return float(np.quantile([abs(self.tau(rng.permutation(self.values))) for _ in range(shuffles)], 0.95))
