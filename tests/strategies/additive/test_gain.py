"""The expected gain of one plan over another: that of the whole space's prior, whatever the space is cut to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.additive.gain import SHARE, Gain, expected_gain
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, Prior
from bankwise.strategies.scores import weighted_capture

SPACE = BudgetedSpace(SearchSpace(shape_of("tiny", (1, 8, 8), 10)), Budget(900))


@pytest.mark.parametrize("seed", range(5))
def test_gain_is_that_of_the_whole_prior(seed):
    rng = np.random.default_rng(seed)
    plan, other = SPACE.solve(weighted_capture(SPACE)), SPACE.sample(rng)
    prior = Prior(SPACE, DEVIATIONS)
    posterior, both = Posterior(prior), np.array([plan, other])
    k, mean = posterior.covariance(both, both), posterior.mean(both)
    found = expected_gain(SPACE, plan, other, trainings=2)
    assert found.mean == pytest.approx(mean[0] - mean[1])
    assert found.deviation**2 == pytest.approx(k[0, 0] + k[1, 1] - 2 * k[0, 1] + DEVIATIONS.noise**2)


def test_gain_is_antisymmetric_and_nothing_but_noise_of_a_plan_over_itself():
    rng = np.random.default_rng(7)
    plan, other = SPACE.sample(rng), SPACE.sample(rng)
    there, back = expected_gain(SPACE, plan, other), expected_gain(SPACE, other, plan)
    assert there.mean == pytest.approx(-back.mean) and there.deviation == pytest.approx(back.deviation)
    same = expected_gain(SPACE, plan, plan, trainings=3)
    assert same.mean == pytest.approx(0) and same.deviation == pytest.approx(DEVIATIONS.noise * np.sqrt(2 / 3))


@given(st.floats(-3, 3), st.floats(0.01, 3), st.floats(0.02, 0.98))
def test_share_of_draws_in_the_interval(mean, deviation, level):
    gain = Gain(mean, deviation)
    draws = np.random.default_rng(0).normal(mean, deviation, 20_000)
    points = 100 * (expit(logit(level) + draws) - level)
    median, low, high = gain.points(level)
    assert np.mean(draws > 0) == pytest.approx(gain.chance, abs=0.02)
    assert np.mean((points >= low) & (points <= high)) == pytest.approx(SHARE, abs=0.02)
    assert np.mean(points <= median) == pytest.approx(0.5, abs=0.02)
