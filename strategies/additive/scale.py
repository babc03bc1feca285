"""How large the terms of the prior are on this network and data: by the likelihood of the trials so far.

Priors are learned in logits, and what a unit of the closed form is worth in logits differs between tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.special import logit, ndtri
from scipy.stats import rankdata

from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import Prior

EDGE = 1e-3  # accuracies are kept this far from 0 and 1
APART = 0.5  # deviation of the logits of a search's trials, about
WORTHS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # factors of the terms
NOISES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # of the noise
LEAST = 8  # trials, of fewer the likelihood says next to nothing
TRUST = 1.0  # deviation of the logarithms of both factors


def fitted(prior: Prior, plans: Sequence[tuple[int, ...]], accuracies: Sequence[float]) -> Posterior:
    """What all trials say together, of a prior that is scaled as they ask where they are enough."""
    posterior = Posterior(prior)
    for plan, value in zip(plans, as_logits(accuracies), strict=True):
        posterior.add(plan, value)
    return posterior.under(likeliest(prior, posterior)) if len(plans) >= LEAST else posterior


def as_logit(accuracy: float) -> float:
    """Of an accuracy, 0 to 1, that is kept off both."""
    return float(logit(np.clip(accuracy, EDGE, 1 - EDGE)))


def as_logits(results: Sequence[float]) -> np.ndarray:
    """What the model takes trials for: the logits of accuracies. Of a metric with values outside 0 to 1 only the order
    is known to mean anything: theirs are the normal scores of their ranks, as far apart as logits of trials are."""
    values = np.asarray(results, float)
    if ((values >= 0) & (values <= 1)).all():
        return np.asarray(logit(np.clip(values, EDGE, 1 - EDGE)))
    return np.asarray(APART * ndtri((rankdata(values) - 0.5) / len(values)))


def likeliest(prior: Prior, posterior: Posterior) -> Prior:
    """`prior` scaled as its trials, those of `posterior`, ask: the mode over a grid of factors."""
    d, plans = prior.deviations, posterior.plans
    unit = Posterior(prior).covariance(plans, plans) - d.start**2
    trend = np.asarray(sum(x[plans[:, i]] for i, x in enumerate(prior.x)))
    eye = np.eye(len(plans))

    def log_density(worth: float, noise: float) -> float:
        covariance = d.start**2 + worth**2 * unit + (noise * d.noise) ** 2 * eye
        try:
            factor = cholesky(covariance, lower=True, check_finite=False)
        except LinAlgError:
            return -np.inf
        left = posterior.values - worth * d.slope_mean * trend
        side = solve_triangular(factor, left, lower=True, check_finite=False)
        believed = (np.log(worth) ** 2 + np.log(noise) ** 2) / TRUST**2
        return float(-(side @ side + believed) / 2 - np.log(np.diag(factor)).sum())

    return prior.of(d.scaled(*max(product(WORTHS, NOISES), key=lambda factors: log_density(*factors))))
