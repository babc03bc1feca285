"""What the table says of plans that are not in it (the way of NAS-Bench-301, Zela et al. 2022).

The mean of a Gaussian process over all features at once and of extremely randomized trees, both on the logit of the
accuracy. Neither is additive over layers, so that no strategy is told the form of its own model.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import kendalltau
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from bankwise.strategies import BudgetedSpace
from results.bench.features import choice_features, plan_features
from results.bench.setting import SETTINGS
from results.bench.table import Table

FOLDS = 5
EDGE = 1e-3  # accuracies are kept this far from 0 and 1
TREES = 100


@dataclass(frozen=True)
class Error:
    """Of predictions of plans left out, in accuracy: root mean square error, Kendall's tau, over all plans and over
    the `best` tenth of them; `noise` is the deviation between seeds, which no prediction can be below."""

    rmse: float
    tau: float
    best_rmse: float
    best_tau: float
    noise: float


class Surrogate:
    """Predicts accuracies of plans of a setting, given as indices of its space (plans, layers)."""

    def __init__(self, space: BudgetedSpace, plans: np.ndarray, accuracies: np.ndarray, seed: int = 0) -> None:
        self.space, self.table = space, choice_features(space)
        x, y = plan_features(self.table, plans), _logit(accuracies)
        self.mean, self.deviation = float(y.mean()), float(y.std())
        y = (y - self.mean) / self.deviation
        kernel = ConstantKernel(1.0) * RBF(6.0, (1.0, 100.0)) + WhiteKernel(0.05, (1e-4, 1.0))
        rng = np.random.default_rng(seed)
        some = rng.permutation(len(x))[:400]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length or a noise at its bound is a fit like others
            fitted = GaussianProcessRegressor(kernel, random_state=seed).fit(x[some], y[some]).kernel_
        self.process = GaussianProcessRegressor(fitted, optimizer=None).fit(x, y)
        self.trees = ExtraTreesRegressor(TREES, min_samples_leaf=2, max_features=0.5, random_state=seed).fit(x, y)

    @classmethod
    def of(cls, table: Table) -> Surrogate:
        """Of every plan of the table that is still in the space and did not diverge."""
        return cls(SETTINGS[table.name].space, *usable(table)[:2])

    def predict(self, plans: Any) -> np.ndarray:
        x = plan_features(self.table, np.atleast_2d(np.asarray(plans)))
        found = (self.process.predict(x) + self.trees.predict(x)) / 2
        return np.asarray(expit(self.mean + self.deviation * found))


def usable(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plans as indices of the space (plans, layers), their mean accuracies and their origins."""
    keep = table.usable
    return table.indices()[keep], table.mean[keep], table.origins[keep]


def cross_validated(table: Table, seed: int = 0) -> tuple[Error, np.ndarray]:
    """The error, and the predictions (plans,) that it is of: each by the other folds alone."""
    plans, truth, _ = usable(table)
    fold = np.random.default_rng(seed).permutation(len(plans)) % FOLDS
    found = np.empty(len(plans))
    for one in range(FOLDS):
        rest = fold != one
        found[~rest] = Surrogate(SETTINGS[table.name].space, plans[rest], truth[rest], seed).predict(plans[~rest])
    best = truth >= np.quantile(truth, 0.9)
    return Error(
        *(_rmse(found, truth), float(kendalltau(found, truth).statistic)),
        *(_rmse(found[best], truth[best]), float(kendalltau(found[best], truth[best]).statistic)),
        table.noise,
    ), found


def _rmse(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - truth) ** 2)))


def _logit(accuracies: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(accuracies, EDGE, 1 - EDGE)))
