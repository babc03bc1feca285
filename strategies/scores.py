"""Scores that need no data: how much of a layer's weight a choice can express, from its shape alone.

They are summed over layers and maximized under the budget. The logarithm makes them a geometric mean: no layer is given
up whole, since a layer that carries nothing ends the signal.

- `log_rate`: log of the information bits a weight (the rate). By rate-distortion theory the share of a random
  weight's energy that the best of k random signs captures is about 2 ln 2 times the rate.
- `log_capture`: log of that share for what can be built. The best of k random sign vectors of d weights captures
  x = m_k^2 / d (m_k the mean of the largest of k normal numbers) while k is far below 2^d, and 2/pi if all are there;
  between them (2/pi)(1 - exp(-x pi/2)); a sparse combination of few-bit filters, of which that is one case, as
  `search_space.basis.capture` says. Composite planes and floats of b bits capture 1 - 4^-b, not below 2/pi; integers,
  whose last level is the filter's largest weight, what a sample of Gaussian filters keeps. The signs of a sum of p
  numbers capture 2/(pi p) of each of them.
  From each choice of a bank SPLIT is taken for every factor of e by which its tile has fewer taps than the kernel:
  trained kernels are not random, neighbouring taps agree, and whole tiles capture more of them than of random weights
  (measured in results/ablations).
- `weighted_capture`: the same, small layers first (`small_first`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

from search_space.basis import Binary, Choice, Composite, Float, Integer, Sparse, Stacked, Subbit, Tiled
from search_space.basis.bank import BankChoice
from search_space.shape import LayerShape
from strategies.budgeted import BudgetedSpace

SPLIT = 0.07

Scores = list[np.ndarray]


def log_rate(space: BudgetedSpace) -> Scores:
    return _table(space, lambda layer, choice: math.log(choice.rate(layer)))


def log_capture(space: BudgetedSpace) -> Scores:
    return _table(space, lambda layer, choice: math.log(capture(layer, choice)) - SPLIT * _cut(layer, choice))


def small_first(space: BudgetedSpace) -> np.ndarray:
    """Log-importances of weights^-1/4, mean 0, (layers,): the closed forms count a bit of every layer alike, but what a
    small, early layer loses no later layer can restore (measured in results/scores)."""
    weights = np.log([layer.weights for layer in space.space.shape.layers])
    return (weights.mean() - weights) / 4


def weighted_capture(space: BudgetedSpace) -> Scores:
    """`log_capture` weighted by the importances of `small_first`."""
    return weighted(log_capture(space), small_first(space))


def weighted(scores: Scores, importances: np.ndarray) -> Scores:
    """Scores times e^importance of each layer: log-importances (layers,)."""
    return [weight * row for weight, row in zip(np.exp(importances), scores, strict=True)]


def total(scores: Scores, indices: Sequence[int]) -> float:
    """The score of a plan."""
    return sum(float(row[i]) for row, i in zip(scores, indices, strict=True))


def capture(layer: LayerShape, choice: Choice) -> float:
    """Share of a Gaussian weight's energy that the choice captures, in (0, 1)."""
    signs = 2 / math.pi
    if isinstance(choice, Subbit):
        choice = choice.stacked
    if isinstance(choice, Stacked):
        share = largest_normal(choice.k) ** 2 / choice.dimension
        return signs * (1 - math.exp(-share / signs))
    if isinstance(choice, Sparse):
        return choice.capture
    if isinstance(choice, Binary):
        return signs
    if isinstance(choice, Tiled):
        return signs / choice.p
    if isinstance(choice, Integer):
        return integer_capture(layer.weights // layer.n, choice.levels)
    if isinstance(choice, Float | Composite):
        return max(signs, 1 - 4.0 ** -choice.rate(layer))
    raise NotImplementedError(f"no closed form says what family {choice.family!r} captures")


def _cut(layer: LayerShape, choice: Choice) -> float:
    """log of the parts that a bank's tile cuts the kernel into."""
    return math.log(math.prod(layer.kernel) / math.prod(choice.tile)) if isinstance(choice, BankChoice) else 0.0


@lru_cache(maxsize=64)
def largest_normal(k: int) -> float:
    """Mean of the largest of k independent standard normal numbers (0.5642 for two)."""
    value, _ = quad(lambda x: x * k * norm.pdf(x) * norm.cdf(x) ** (k - 1), -10, 10, limit=200)
    return value


@lru_cache(maxsize=256)
def integer_capture(fan_in: int, levels: int) -> float:
    """The share for filters of `fan_in` weights with levels from -levels to levels, the largest weight at the last."""
    weights = np.random.default_rng(0).normal(size=(max(8, 2**16 // fan_in), fan_in))
    rounded = (weights / np.abs(weights).max(1, keepdims=True) * levels).round()
    along = (weights * rounded).sum(1) ** 2 / np.square(rounded).sum(1)
    return float(along.sum() / np.square(weights).sum())


def _table(space: BudgetedSpace, score) -> Scores:
    return [
        np.array([score(layer, choice) for choice in space.choices(i)])
        for i, layer in enumerate(space.space.shape.layers)
    ]
