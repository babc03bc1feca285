"""How well scores order the plans of a table, beside the noise ceiling: what one seed's accuracies say of another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from bankwise.strategies.scores import log_rate, total, weighted_capture
from bankwise.strategies.sensitivity import measured_capture
from results.bench.fit import BEFORE, UNTRAINED, fitted_without
from results.bench.setting import SETTINGS
from results.bench.surrogate import usable
from results.bench.table import Table

RESAMPLES = 1000
PARTS = ("all", "random", "near", "best tenth")
LEAST = 8  # plans of a part, below which there is no figure


@dataclass(frozen=True)
class Tau:
    """Kendall's tau and the 95 % interval of its bootstrap over plans."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "-" if np.isnan(self.value) else f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def bootstrapped(statistic: Callable[[np.ndarray], float], count: int) -> Tau:
    """`statistic` of indices (count,) of plans."""
    if count < LEAST:
        return Tau(*[float("nan")] * 3)
    rng = np.random.default_rng(0)
    found = [statistic(rng.integers(count, size=count)) for _ in range(RESAMPLES)]
    return Tau(statistic(np.arange(count)), *np.nanquantile(found, [0.025, 0.975]))


def ceiling(table: Table, part: str) -> Tau:
    """The mean tau between two seeds over the plans that were trained by all, of a part of them."""
    found, plans = table.repeated
    of = _part(part, found.mean(1), table.origins[plans])
    return bootstrapped(lambda some: _between_seeds(found[of][some]), int(of.sum()))


def _between_seeds(found: np.ndarray) -> float:
    pairs = combinations(found.T, 2)
    return float(np.mean([kendalltau(one, other).statistic for one, other in pairs]))


def _part(part: str, accuracies: np.ndarray, origins: np.ndarray) -> np.ndarray:
    if part == "best tenth":
        return np.asarray(accuracies >= np.quantile(accuracies, 0.9))
    return np.asarray((part == "all") | (origins == PARTS.index(part) - 1))


def scores(tables: list[Table], table: Table, root: str | None, cache: Path) -> dict[str, np.ndarray]:
    """Of every score the values of the table's usable plans."""
    space, (plans, _, _) = SETTINGS[table.name].space, usable(table)
    of_choices = {
        "log rate": log_rate(space),
        "capture, untrained": weighted_capture(space, UNTRAINED),
        "capture, weights^-1/4": weighted_capture(space, BEFORE),
        "closed form, learned without the setting": weighted_capture(space, fitted_without(tables, table.name)),
    }
    if root is not None:
        of_choices["sensitivity"] = measured_capture(space, SETTINGS[table.name].task(root, cache))
    found = {name: np.array([total(rows, plan) for plan in plans]) for name, rows in of_choices.items()}
    return found | _short_trials(table)


def _short_trials(table: Table) -> dict[str, np.ndarray]:
    """The accuracy of another seed after a share of its epochs is a trial that was cut short; only plans that were
    trained by several seeds have one, the others NaN."""
    epochs = table.epochs.shape[1]
    found = {}
    for share in (0.25, 0.5):
        at = np.full(len(table.plans), np.nan)
        second = table.seed == 1
        at[table.plan[second]] = table.epochs[second][:, max(1, round(share * epochs)) - 1]
        found[f"{100 * share:.0f} % of a training, another seed"] = at[table.usable]
    return found


def taus(table: Table, values: dict[str, np.ndarray]) -> dict[str, dict[str, Tau]]:
    """By score and part of the plans. Short trials are held against the mean of all seeds but theirs."""
    _, accuracies, origins = usable(table)
    rest = table.without_seed(1)[table.usable]
    found: dict[str, dict[str, Tau]] = {}
    for name, score in values.items():
        truth = rest if np.isnan(score).any() else accuracies
        there = np.isfinite(score) & np.isfinite(truth)
        s, y, o = score[there], truth[there], origins[there]
        found[name] = {}
        for part in PARTS:
            of = np.flatnonzero(_part(part, y, o)) if len(y) else np.empty(0, int)
            a, b = s[of], y[of]
            found[name][part] = bootstrapped(
                lambda some, a=a, b=b: float(kendalltau(a[some], b[some]).statistic), len(of)
            )
    return found
