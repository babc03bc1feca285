"""The integer arithmetic of `int8.c`, in numpy: the same numbers to the last bit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Whole = np.ndarray  # int64
MOST_SHIFT = 40
_ONE = np.int64(1)


def rounded(t: Any, shift: int | Whole) -> Whole:
    """t / 2^shift, rounded to the nearest, halves up; 0 beyond 61."""
    t, shift = np.asarray(t, np.int64), np.asarray(shift, np.int64)
    down, up = np.clip(shift, 1, 61), np.clip(-shift, 0, 62)
    right = np.where(shift > 61, 0, (t + (_ONE << (down - 1))) >> down)
    return np.where(shift <= 0, t << up, right)


def fixed(value: Any, mantissa: int, shift: int) -> Whole:
    """The float32 `value` times mantissa / 2^shift, rounded, by its bits."""
    bits = np.asarray(value, np.float32).view(np.int32).astype(np.int64)
    exponent, digits = (bits >> 23) & 255, bits & 0x7FFFFF
    digits = np.where(exponent == 0, digits, digits + 0x800000)
    digits = np.where(bits < 0, -digits, digits)
    return rounded(digits * mantissa, shift + 150 - np.maximum(exponent, 1))


@dataclass(frozen=True)
class Ratio:
    """mantissa / 2^shift, the mantissa of 31 bits."""

    mantissa: int
    shift: int

    @classmethod
    def of(cls, value: float) -> Ratio:
        """The nearest to a positive number."""
        digits, exponent = math.frexp(value)
        mantissa = round(digits * 2**31)
        return cls(2**30, 30 - exponent) if mantissa == 2**31 else cls(mantissa, 31 - exponent)


def common_shift(*factors: float) -> int:
    """The largest shift, up to `MOST_SHIFT`, at which every factor has at most 30 bits."""
    largest = max((abs(one) for one in factors), default=0.0)
    return min(MOST_SHIFT, 30 - math.frexp(largest)[1]) if largest else MOST_SHIFT


def logistic(x: Whole) -> Whole:
    """1 / (1 + exp(-x)) of x in 65536ths, in 2^-30."""
    t = np.abs(x)
    u = rounded(np.minimum(t, 1310720) * 94548, 16)
    f = (u & 65535) << 14
    e = ((7346532 * f) >> 30) - 57151877
    for term in (257095898, -744157487, 1073739778):
        e = ((e * f) >> 30) + term
    e = np.where(t < 1310720, e >> (u >> 16), 0)
    gate = (_ONE << 60) // (1073741824 + e)
    found: Whole = np.where(x < 0, 1073741824 - gate, gate)
    return found
