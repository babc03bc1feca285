"""The Gaussian posterior of a plan's accuracy after trials, and draws from it."""

from __future__ import annotations

import numpy as np

from bankwise.strategies.additive.factor import Factor
from bankwise.strategies.additive.prior import JITTER, Prior

Worths = list[np.ndarray]  # of all choices, (choices,) a layer


class Posterior:
    """The prior after trials of `plans` (trials, layers) with logits `values` (trials,), in the order in which they
    came. A trial and a draw cost O(trials^2)."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self.plans = np.empty((0, len(prior.x)), np.int64)
        self.values = np.empty(0)
        self._values_factor, self._together_factor = Factor(), Factor()

    def under(self, prior: Prior) -> Posterior:
        """That of another prior of the same space, after the same trials."""
        other, plans, eye = Posterior(prior), self.plans, np.eye(len(self.plans))
        other.plans, other.values = plans, self.values
        other._values_factor = Factor(other.covariance(plans) + prior.deviations.noise**2 * eye)
        other._together_factor = Factor(other._together(plans, plans) + JITTER * eye)
        return other

    def add(self, plan: tuple[int, ...], value: float) -> None:
        own, d = np.array([plan]), self.prior.deviations
        variance = float(self.covariance(own, own)[0, 0]) + d.noise**2
        self._values_factor.add(self.covariance(own)[0], variance)
        self._together_factor.add(self._together(own, self.plans)[0], d.together**2 + JITTER)
        self.plans = np.concatenate([self.plans, own])
        self.values = np.append(self.values, value)

    def covariance(self, plans: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
        """Between the noiseless logits of `plans` (p, layers) and of `others` (q, layers; default: those tried):
        (p, q)."""
        others = self.plans if others is None else others
        d, prior = self.prior.deviations, self.prior
        total = d.start**2 + self._together(plans, others)
        mine, theirs = np.zeros(len(plans)), np.zeros(len(others))
        for layer, x in enumerate(prior.x):
            a, b = plans[:, layer], others[:, layer]
            total += prior.covariance[layer][a[:, None], b[None]] + d.tilt**2 * np.outer(x[a], x[b])
            mine += x[a]
            theirs += x[b]
        return np.asarray(total + d.slope**2 * np.outer(mine, theirs))

    def _together(self, plans: np.ndarray, others: np.ndarray) -> np.ndarray:
        d, prior = self.prior.deviations, self.prior
        alike = sum(row[plans[:, i, None], others[None, :, i]] for i, row in enumerate(prior.alike))
        return np.asarray(d.together**2 * np.exp((alike / len(prior.x) - 1) / d.apart))

    def mean(self, plans: np.ndarray) -> np.ndarray:
        """Of the logits of `plans` (p, layers)."""
        return np.asarray(self.prior_mean(plans) + self.covariance(plans) @ self._left())

    def mean_of_tried(self) -> np.ndarray:
        """The same for the plans tried, (trials,): their values less what of each is noise."""
        return np.asarray(self.values - self.prior.deviations.noise**2 * self._left())

    def ahead(self, plans: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far the noiseless logits of `plans` (p, layers) are above that of one plan `of` (layers,): means and
        deviations, (p,)."""
        both = np.concatenate([plans, of[None]])
        to_tried = self.covariance(both)
        before = np.array([self.covariance(pair, pair) for pair in (np.array([plan, of]) for plan in plans)])
        before = before.reshape(-1, 2, 2) @ (1, -1) @ (1, -1)
        shown = self._values_factor.halved((to_tried[:-1] - to_tried[-1]).T)
        means = self.mean(both)
        return means[:-1] - means[-1], np.sqrt(np.maximum(before - (shown**2).sum(0), 0))

    def together(self, plans: np.ndarray) -> np.ndarray:
        """The part of that mean which is not a sum over layers, (p,)."""
        return np.asarray(self._together(plans, self.plans) @ self._left())

    def draw(self, rng: np.random.Generator, share: float) -> Worths:
        """The mean of the choices' worths, and `share` of a deviation drawn from the posterior.

        By Matheron's rule: a draw from the prior, corrected by what the trials would have shown were it the truth.
        """
        drawn, shown = self._prior_draw(rng)
        mean, back = self._carried(self._left()), self._carried(self._values_factor.solved(shown))
        slope = self.prior.deviations.slope_mean
        return [slope * x + m + share * (row - b) for x, m, row, b in zip(self.prior.x, mean, drawn, back, strict=True)]

    def _prior_draw(self, rng: np.random.Generator) -> tuple[Worths, np.ndarray]:
        """Worths about the prior's mean, and what trials of the plans tried would show of them, noise included."""
        d, prior = self.prior.deviations, self.prior
        slope = rng.normal(0, d.slope)
        worths = [
            (slope + rng.normal(0, d.tilt)) * x + root @ rng.normal(size=len(x))
            for x, root in zip(prior.x, prior.roots, strict=True)
        ]
        rest = self._together_factor.drawn(rng) + rng.normal(0, d.noise, len(self.plans)) + rng.normal(0, d.start)
        return worths, np.asarray(sum(row[self.plans[:, i]] for i, row in enumerate(worths)) + rest)

    def _carried(self, weights: np.ndarray) -> Worths:
        """Covariances of the choices' worths with the trials' values, times `weights` (trials,)."""
        d, prior = self.prior.deviations, self.prior
        sums = [np.bincount(self.plans[:, i], weights, len(x)) for i, x in enumerate(prior.x)]
        common = d.slope**2 * sum(float(x @ s) for x, s in zip(prior.x, sums, strict=True))
        return [
            (common + d.tilt**2 * float(x @ s)) * x + k @ s
            for x, s, k in zip(prior.x, sums, prior.covariance, strict=True)
        ]

    def precision(self) -> np.ndarray:
        """The inverse of the covariance of the trials' values, (trials, trials)."""
        root = self._values_factor.halved(np.eye(len(self.plans)))
        return np.asarray(root.T @ root)

    def prior_mean(self, plans: np.ndarray) -> np.ndarray:
        """Of the logits of `plans` (p, layers), before any trial."""
        total = sum(x[plans[:, i]] for i, x in enumerate(self.prior.x))
        return np.asarray(self.prior.deviations.slope_mean * total)

    def _left(self) -> np.ndarray:
        """What the trials show beyond the prior's mean, in the units of `_carried`."""
        return self._values_factor.solved(self.values - self.prior_mean(self.plans))
