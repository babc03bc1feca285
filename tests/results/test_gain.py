"""How often the interval of an expected gain holds: as often as it says, where plans are as the model has them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from bankwise.strategies.additive.gain import SHARE
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, Prior
from bankwise.strategies.learned import LEARNED
from results.bench import gain, optima
from results.bench.gain import Learned, coverage_table, gain_of, gain_table, standardized
from results.bench.setting import SETTINGS
from results.bench.surrogate import usable
from results.bench.table import Table

NAME = "digits-500"
LEARNT = Learned(LEARNED, dataclasses.replace(DEVIATIONS, start=0.2))


def drawn(seed: int) -> Table:
    """The table's plans with accuracies drawn from the model."""
    table = Table.read(NAME)
    plans, _, _ = usable(table)
    posterior = Posterior(Prior(SETTINGS[NAME].space, LEARNT.deviations, LEARNED))
    rng = np.random.default_rng(seed)
    truth = rng.multivariate_normal(posterior.mean(plans), posterior.covariance(plans, plans))
    of_plan = np.full(len(table.plans), np.nan)
    of_plan[table.usable] = truth
    seen = of_plan[table.plan] + rng.normal(0, LEARNT.deviations.noise, len(table.plan))
    return dataclasses.replace(table, accuracy_of_row=expit(seen))


@pytest.mark.parametrize(("share", "part"), [(SHARE, "all"), (0.95, "all"), (SHARE, "near")])
def test_an_interval_holds_as_often_as_it_says_of_what_the_model_drew(share, part):
    held = [np.mean(np.abs(standardized(drawn(seed), LEARNT, part)) < norm.ppf((1 + share) / 2)) for seed in range(40)]
    assert np.mean(held) == pytest.approx(share, abs=4 * np.std(held) / np.sqrt(len(held)) + 0.01)


def test_pairs_are_of_one_part():
    table = Table.read(NAME)
    _, _, origins = usable(table)
    counts = [int((origins == i).sum()) for i in range(2)]
    assert len(standardized(table, LEARNT, "random")) == counts[0] * (counts[0] - 1) // 2
    assert len(standardized(table, LEARNT)) == sum(counts) * (sum(counts) - 1) // 2


def test_the_tables_rows(monkeypatch):
    tables = [Table.read(NAME)]
    monkeypatch.setattr(optima, "fitted_without", lambda tables, name: LEARNED)
    expected = gain_of(tables, NAME, LEARNT)
    points, low, high = expected.points(0.9)
    trained = {optima.UNIFORM: {NAME: [89.0, 91.0]}, optima.LEARNED: {NAME: [90.0 + high, 90.0 + high + 2]}}
    row = gain_table(tables, {NAME: LEARNT}, trained).splitlines()[2]
    assert row.startswith(f"| {NAME} | 90.0 | {points:+.1f} | {low:+.1f} to {high:+.1f} |") and row.endswith("| no |")
    assert coverage_table(tables, {NAME: LEARNT}).count("\n") == 4
    assert gain.PARTS[1:] == ("random", "near")
