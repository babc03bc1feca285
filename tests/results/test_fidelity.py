"""Stopping early: the rules on curves made by hand, and that all have the same epochs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from bankwise.strategies import make_strategy
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, Prior
from results.bench.fidelity import (
    CHANCE,
    NEAREST,
    RULES,
    SPREAD,
    TRUST,
    WHOLE,
    Curves,
    Halving,
    Median,
    Model,
    Oracle,
    Predicting,
    Views,
    courses,
)
from results.bench.setting import SETTINGS
from results.bench.table import Table

NAME = "digits-500"
SPACE = SETTINGS[NAME].space
PLAN = np.zeros(len(SPACE.sizes), int)


def curve(*accuracies: float) -> np.ndarray:
    return np.asarray(logit(accuracies))


def strategy():
    return make_strategy("evolution", SPACE, 0)


def sampled(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([SPACE.sample(rng) for _ in range(count)])


def test_a_posterior_of_views_is_that_of_their_noise():
    prior, plans = Prior(SPACE, DEVIATIONS), sampled(6)
    values, further = np.linspace(0, 2, 6), np.array([0, 0.3, 0, 1.0, 0, 0.1])
    views = Views(prior)
    for plan, value, more in zip(plans, values, further, strict=True):
        views.view(tuple(plan), value, more)
    covariance = views.covariance(plans, plans)
    inverse = np.linalg.inv(covariance + np.diag(DEVIATIONS.noise**2 + further))
    left = values - views.prior_mean(plans)
    assert views.mean(plans) == pytest.approx(views.prior_mean(plans) + covariance @ inverse @ left)
    assert views.mean_of_tried() == pytest.approx(views.mean(plans))
    expected = covariance[0, 0] - covariance[0] @ inverse @ covariance[0]
    assert views.variance(plans[0]) == pytest.approx(expected)
    again = views.under(prior)
    assert again.mean(plans) == pytest.approx(views.mean(plans))


def test_views_of_whole_trials_are_an_ordinary_posterior():
    prior, plans = Prior(SPACE, DEVIATIONS), sampled(5)
    views, posterior = Views(prior), Posterior(prior)
    for plan, value in zip(plans, range(5), strict=True):
        views.view(tuple(plan), value, 0.0)
        posterior.add(tuple(plan), value)
    assert views.mean_of_tried() == pytest.approx(posterior.mean_of_tried())
    pairs = zip(*(one.draw(np.random.default_rng(1), 1.0) for one in (views, posterior)), strict=True)
    assert all(a == pytest.approx(b) for a, b in pairs)


def test_median_stops_what_is_below_the_running_means():
    rule = Median(4, strategy())
    for accuracy in (0.5, 0.6, 0.7):
        rule.ended(PLAN, curve(accuracy, accuracy, accuracy, accuracy))
    assert rule.stops(PLAN, curve(0.2, 0.59), 0) and not rule.stops(PLAN, curve(0.2, 0.61), 0)


def test_halving_lets_the_best_third_go_on():
    rule = Halving(12, strategy())
    assert [*rule.rungs] == [3, 9]
    went = [not rule.stops(PLAN, curve(*[accuracy] * 3), 0) for accuracy in (0.5, 0.4, 0.6, 0.55, 0.7, 0.1)]
    assert went == [True, False, True, True, True, False]  # 0.55 is above two thirds of the three before
    assert not rule.stops(PLAN, curve(0.1, 0.1, 0.1, 0.1), 0), "between rungs"


def test_a_curve_ends_where_whole_trials_did_from_there():
    rule = Predicting(3, strategy())
    for end in (1.0, 1.5, 2.0):
        rule.ended(PLAN, np.array([0.0, 0.5, end]))
    rule.ended(PLAN, np.array([-3.0]))  # stopped: says nothing
    mean, variance = rule.end(np.array([0.25, 0.75]))
    assert mean == pytest.approx(0.75 + 1.0) and variance == pytest.approx((TRUST * SPREAD**2 + 0.5) / (TRUST + 2))
    assert rule.told(np.array([0.0, 0.1, 0.2])) == (0.2, 0.0)


def test_the_model_stops_what_has_no_chance():
    rule, plans = Model(4, strategy()), sampled(WHOLE + 1)
    for plan in plans[:WHOLE]:
        assert not rule.stops(plan, np.array([-9.0]), 0)
        rule.ended(plan, np.array([0.0, 0.5, 1.0, 1.5]))
    views = rule.views
    mean, own = float(views.mean(plans[-1:])[0]), views.variance(plans[-1])
    for start in np.linspace(-2, 1, 13):
        end, variance = rule.end(np.array([start]))
        seen = variance + DEVIATIONS.noise**2
        together = (mean / own + end / seen) / (1 / own + 1 / seen)
        chance = norm.sf((views.mean_of_tried().max() - together) * np.sqrt(1 / own + 1 / seen))
        assert rule.stops(plans[-1], np.array([start]), 0) == (chance < CHANCE)


def test_the_truth_stops_all_that_is_not_better():
    rule = Oracle(8, strategy())
    rule.best = 0.5
    stops = [rule.stops(PLAN, curve(*[0.9] * age), truth) for age, truth in ((1, 0.4), (2, 0.4), (2, 0.6))]
    assert stops == [False, True, False]


def test_a_drawn_curve_ends_where_it_is_to_and_is_of_a_training_that_ended_near():
    curves, rng = Curves(Table.read(NAME)), np.random.default_rng(0)
    for end in (-1.0, 1.0, 2.5):
        found = curves.draw(end, rng)
        assert len(found) == curves.epochs == 15 and found[-1] == pytest.approx(end)
        near = np.sort(np.abs(curves.curves[:, -1] - end))[NEAREST - 1]
        moved = curves.curves - curves.curves[:, -1:] + end
        rows = np.flatnonzero(np.abs(moved - found).max(1) < 1e-9)
        assert len(rows) and np.abs(curves.curves[rows, -1] - end).min() <= near


class Sum:
    """A surrogate of a few indices' sums."""

    space = SPACE

    def predict(self, plans):
        shares = np.asarray(plans) / (np.array(SPACE.sizes) - 1)
        return expit(shares.mean(1))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["evolution", "thompson"])
def test_every_rule_has_the_same_epochs_and_repeats(name, rule):
    curves = Curves(Table.read(NAME))
    held, made = courses(name, RULES[rule], Sum(), curves, 0.02, 10, 2)
    again, _ = courses(name, RULES[rule], Sum(), curves, 0.02, 10, 2)
    assert held.shape == (2, 10) and (held == again).all()
    assert (np.array(made) == 10).all() if rule == "none" else (np.array(made) >= 10).all()
    assert all(0 < value < 1 for value in held.flat)
