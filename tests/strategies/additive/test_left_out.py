"""Left-out predictions in closed form against posteriors that never saw the trials."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bankwise.strategies.additive.left_out import LeftOut
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import Deviations, Prior

D = Deviations(slope_mean=0.4, slope=0.3, tilt=0.2, smooth=0.3, family=0.2, own=0.1, together=0.2, noise=0.1)


@pytest.fixture
def tried(tiny_space) -> Posterior:
    space = tiny_space(3, 0.7)
    plans = list(itertools.product(*map(range, space.sizes)))
    rng = np.random.default_rng(0)
    return after(Prior(space, D), [(plans[i], rng.normal(1, 0.7)) for i in rng.permutation(len(plans))[:9]])


def after(prior: Prior, trials: list[tuple[tuple[int, ...], float]]) -> Posterior:
    posterior = Posterior(prior)
    for plan, value in trials:
        posterior.add(plan, float(value))
    return posterior


def without(posterior: Posterior, *left: int) -> Posterior:
    pairs = zip(posterior.plans, posterior.values, strict=True)
    return after(posterior.prior, [(tuple(plan), value) for i, (plan, value) in enumerate(pairs) if i not in left])


def test_one_left_out_is_what_the_others_say(tried):
    means, deviations = LeftOut(tried).single()
    for i, plan in enumerate(tried.plans):
        others = without(tried, i)
        k, own = others.covariance(plan[None]), others.covariance(plan[None], plan[None])
        variance = own - k @ np.linalg.inv(others.covariance(others.plans) + D.noise**2 * np.eye(8)) @ k.T + D.noise**2
        assert (means[i], deviations[i]) == pytest.approx((others.mean(plan[None])[0], np.sqrt(variance[0, 0])))


def test_a_pair_left_out_is_what_the_others_say(tried):
    found = LeftOut(tried).pairs(tried.values)
    for i, j in itertools.combinations(range(len(tried.plans)), 2):
        one, other = without(tried, i, j).mean(tried.plans[[i, j]])
        assert found[i, j] == pytest.approx(one - other) == -found[j, i]


def test_tau_counts_pairs_that_differ(tried):
    left_out = LeftOut(tried)
    values = np.round(tried.values, 0)  # some are equal
    pairs = [(i, j) for i, j in itertools.combinations(range(len(values)), 2) if values[i] != values[j]]
    found = left_out.pairs(values)
    agree = [np.sign(found[i, j]) == np.sign(values[i] - values[j]) for i, j in pairs]
    assert 0 < len(pairs) < 36 and left_out.tau(values) == pytest.approx(2 * np.mean(agree) - 1)
    assert np.isnan(left_out.tau(np.ones(len(values))))


def test_where_there_is_nothing_to_predict_tau_is_about_0(tried):
    """Predictions of one trial left out are not: they are the lower the better it was."""
    rng, left_out = np.random.default_rng(1), LeftOut(tried)
    taus = [left_out.tau(rng.normal(1, 0.3, len(tried.plans))) for _ in range(400)]
    assert abs(np.mean(taus)) < 0.15
    assert np.quantile(np.abs(taus), 0.95) < 1.3 * left_out.by_chance() and left_out.by_chance() <= 1


@pytest.mark.parametrize("trials", [0, 1, 9])
def test_how_far_a_plan_is_ahead(tried, trials):
    """By the covariance of both after the trials, built here."""
    posterior = without(tried, *range(trials, 9))
    space = posterior.prior
    plans = np.array([[i % len(x) for x in space.x] for i in range(5)])
    of = np.array(space.best)
    both = np.concatenate([plans, of[None]])
    k, before = posterior.covariance(both), posterior.covariance(both, both)
    inside = posterior.covariance(posterior.plans) + D.noise**2 * np.eye(trials)
    now = before - k @ np.linalg.inv(inside) @ k.T if trials else before
    means, deviations = posterior.ahead(plans, of)
    mean = posterior.mean(both)
    assert means == pytest.approx(mean[:-1] - mean[-1])
    contrast = np.concatenate([np.eye(5), -np.ones((5, 1))], 1)
    assert deviations == pytest.approx(np.sqrt(np.diag(contrast @ now @ contrast.T)), abs=1e-6)
