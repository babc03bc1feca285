"""How much of a Gaussian weight's energy signs, banks of random signs and rounded numbers capture, in closed form.

Signs alone capture 2/pi. The best of k random sign vectors of d weights captures x = m_k^2 / d (m_k the mean of the
largest of k normal numbers) while k is far below 2^d, and 2/pi if all are there; between them
(2/pi)(1 - exp(-x pi/2)). The signs of a sum of p numbers capture 2/(pi p) of each of them. A number of b bits captures
1 - 4^-b, the rate-distortion bound, not below 2/pi; integers, whose last level is the filter's largest weight, what a
sample of Gaussian filters keeps.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

SIGNS = 2 / math.pi


def signs_capture(k: int, dimension: int) -> float:
    """The share of the best of k random sign vectors of `dimension` weights, in (0, 2/pi)."""
    share = largest_normal(k) ** 2 / dimension
    return SIGNS * (1 - math.exp(-share / SIGNS))


def bits_capture(bits: float) -> float:
    """The share of numbers of `bits` bits, at least that of signs."""
    return max(SIGNS, 1 - math.pow(4.0, -bits))


@lru_cache(maxsize=64)
def largest_normal(k: int) -> float:
    """Mean of the largest of k independent standard normal numbers (0.5642 for two)."""
    value, _ = quad(lambda x: x * k * norm.pdf(x) * norm.cdf(x) ** (k - 1), -10, 10, limit=200)
    return float(value)


@lru_cache(maxsize=256)
def integer_capture(fan_in: int, levels: int) -> float:
    """The share for filters of `fan_in` weights with levels from -levels to levels, the largest weight at the last."""
    weights = np.random.default_rng(0).normal(size=(max(8, 2**16 // fan_in), fan_in))
    rounded = (weights / np.abs(weights).max(1, keepdims=True) * levels).round()
    along = (weights * rounded).sum(1) ** 2 / np.square(rounded).sum(1)
    return float(along.sum() / np.square(weights).sum())
