"""The posterior against textbook formulas on the joint Gaussian of all worths, built here term by term."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal

from bankwise.strategies import BudgetedSpace
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import Deviations, Prior
from bankwise.strategies.additive.scale import NOISES, WORTHS, likeliest
from bankwise.strategies.scores import total

LAYERS = 3
D = Deviations(
    slope_mean=0.4, slope=0.3, tilt=0.2, smooth=0.3, family=0.2, own=0.1, together=0.25, noise=0.1, start=1.5
)


@pytest.fixture
def space(tiny_space) -> BudgetedSpace:
    return tiny_space(LAYERS, 0.7)


@pytest.fixture
def prior(space) -> Prior:
    return Prior(space, D)


def every_plan(space: BudgetedSpace) -> np.ndarray:
    return np.array(list(itertools.product(*map(range, space.sizes))))


class Joint:
    """The Gaussian of (worths of all choices, start, together of every plan), and what plans read of it."""

    def __init__(self, space: BudgetedSpace, prior: Prior) -> None:
        d = prior.deviations
        self.plans = every_plan(space)
        starts = np.cumsum([0, *space.sizes[:-1]])
        self.worths = sum(space.sizes)
        x = np.concatenate(prior.x)
        tilts = block_diag(*(np.outer(row, row) for row in prior.x))
        worths = d.slope**2 * np.outer(x, x) + d.tilt**2 * tilts + block_diag(*prior.covariance)
        alike = sum(row[self.plans[:, i][:, None], self.plans[:, i]] for i, row in enumerate(prior.alike))
        together = d.together**2 * np.exp((alike / len(prior.x) - 1) / d.apart)
        self.covariance = block_diag(worths, [[d.start**2]], together)
        self.mean = np.concatenate([d.slope_mean * x, np.zeros(1 + len(self.plans))])
        self.reads = np.zeros((len(self.plans), len(self.mean)))
        for number, plan in enumerate(self.plans):
            self.reads[number, starts + plan] = 1
            self.reads[number, self.worths] = self.reads[number, self.worths + 1 + number] = 1

    def after(self, rows: list[int], values: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
        reads = self.reads[rows]
        gain = (
            self.covariance @ reads.T @ np.linalg.inv(reads @ self.covariance @ reads.T + noise**2 * np.eye(len(rows)))
        )
        return self.mean + gain @ (values - reads @ self.mean), self.covariance - gain @ reads @ self.covariance


@pytest.fixture
def tried(space, prior):
    """A posterior after eleven trials, and the same by the joint."""
    joint, rng = Joint(space, prior), np.random.default_rng(0)
    rows = [int(i) for i in rng.permutation(len(joint.plans))[:11]]
    values = rng.normal(1, 0.7, len(rows))
    posterior = Posterior(prior)
    for row, value in zip(rows, values, strict=True):
        posterior.add(tuple(joint.plans[row]), float(value))
    return posterior, joint, rows, values


def test_means_are_those_of_the_joint(tried):
    posterior, joint, rows, values = tried
    mean, _ = joint.after(rows, values, D.noise)
    assert posterior.mean(joint.plans) == pytest.approx(joint.reads @ mean)
    assert posterior.mean_of_tried() == pytest.approx(joint.reads[rows] @ mean)
    assert posterior.together(joint.plans) == pytest.approx(mean[joint.worths + 1 :])


def test_draws_have_the_mean_and_the_covariance_of_the_joint(tried):
    """Within five standard errors of 4,000 draws, of every entry."""
    posterior, joint, rows, values = tried
    mean, covariance = (part[: joint.worths] for part in joint.after(rows, values, D.noise))
    covariance = covariance[:, : joint.worths]
    rng, count = np.random.default_rng(1), 4000
    drawn = np.array([np.concatenate(posterior.draw(rng, 1.0)) for _ in range(count)])
    spread = np.sqrt(np.diag(covariance))
    assert np.abs(drawn.mean(0) - mean).max() < 5 * spread.max() / np.sqrt(count)
    error = np.sqrt((np.outer(spread, spread) ** 2 + covariance**2) / count)
    assert (np.abs(np.cov(drawn.T) - covariance) < 5 * error + 1e-9).all()
    assert np.concatenate(posterior.draw(rng, 0.0)) == pytest.approx(mean)


def test_before_any_trial_it_is_the_prior(space, prior):
    joint, posterior = Joint(space, prior), Posterior(prior)
    assert posterior.mean(joint.plans) == pytest.approx(joint.reads @ joint.mean)
    assert np.concatenate(posterior.draw(np.random.default_rng(0), 0.0)) == pytest.approx(joint.mean[: joint.worths])
    assert len(posterior.mean_of_tried()) == 0


def test_another_prior_after_the_same_trials(tried):
    posterior, joint, rows, values = tried
    scaled = posterior.prior.of(D.scaled(2.0, 0.5))
    again = Posterior(scaled)
    for row, value in zip(rows, values, strict=True):
        again.add(tuple(joint.plans[row]), float(value))
    assert posterior.under(scaled).mean(joint.plans) == pytest.approx(again.mean(joint.plans))


def test_the_prior_is_a_covariance_and_says_what_it_says(space, prior):
    for i, (row, alike, x) in enumerate(zip(prior.covariance, prior.alike, prior.x, strict=True)):
        assert np.linalg.eigvalsh(row).min() > 0 and np.linalg.eigvalsh(alike).min() > -1e-9
        assert np.diag(alike) == pytest.approx(1) and alike.min() >= 0
        families = [choice.family for choice in space.choices(i)]
        same = np.equal.outer(families, families)
        assert (alike[~same] == 0).all()
        assert x[prior.best[i]] == 0
    assert sum(x[i] for x, i in zip(prior.x, prior.best, strict=True)) == 0
    totals = [sum(x[i] for x, i in zip(prior.x, plan, strict=True)) for plan in every_plan(space) if space.fits(plan)]
    assert max(totals) == pytest.approx(0), "no plan that fits is better by the closed form"


def test_its_mean_follows_the_scores_that_it_is_given(space, prior):
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=size) for size in space.sizes]
    prior, plans = prior.following(space, scores), np.array([plan for plan in every_plan(space) if space.fits(plan)])
    means, totals = Posterior(prior).mean(plans), np.array([total(scores, plan) for plan in plans])
    assert means == pytest.approx(D.slope_mean * (totals - totals.max()))
    assert total(scores, prior.best) == pytest.approx(totals.max())


def log_density(prior: Prior, plans: np.ndarray, values: np.ndarray) -> float:
    posterior = Posterior(prior)
    covariance = posterior.covariance(plans, plans) + prior.deviations.noise**2 * np.eye(len(plans))
    return float(multivariate_normal(posterior.mean(plans), covariance).logpdf(values))


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_likeliest_scale_is_the_best_of_the_grid(space, prior, factor):
    """By scipy's density; values are drawn from a world `factor` times as wide."""
    rng, plans = np.random.default_rng(3), every_plan(space)[::4]
    world = prior.of(D.scaled(factor, 1.0))
    own = Posterior(world)
    covariance = own.covariance(plans, plans) + world.deviations.noise**2 * np.eye(len(plans))
    values = rng.multivariate_normal(own.mean(plans), covariance)
    posterior = Posterior(prior)
    for plan, value in zip(plans, values, strict=True):
        posterior.add(tuple(plan), float(value))
    found = likeliest(prior, posterior)
    grid = {
        (worth, noise): log_density(prior.of(D.scaled(worth, noise)), plans, values)
        - (np.log(worth) ** 2 + np.log(noise) ** 2) / 2
        for worth in WORTHS
        for noise in NOISES
    }
    assert found.deviations == D.scaled(*max(grid, key=grid.get))
