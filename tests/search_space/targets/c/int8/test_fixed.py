"""Integer arithmetic of int8 activations against exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.targets.c.int8.fixed import MOST_SHIFT, Ratio, common_shift, fixed, logistic, rounded

numbers = st.integers(-(2**55), 2**55)


def nearest(value: Fraction) -> int:
    """Halves go up."""
    return math.floor(value + Fraction(1, 2))


@given(numbers, st.integers(-6, 80))
def test_rounded_is_the_nearest_whole_number(t, shift):
    assert int(rounded(t, shift)) == (0 if shift > 61 else nearest(Fraction(t) * Fraction(2) ** -shift))


@given(st.floats(-1e4, 1e4, width=32), st.integers(2**30, 2**31 - 1), st.integers(10, 70))
def test_fixed_is_the_product_rounded_once(value, mantissa, shift):
    exact = Fraction(value) * mantissa * Fraction(2) ** -shift
    assert int(fixed(value, mantissa, shift)) == (nearest(exact) if abs(exact) >= 2**-8 else 0)


def test_fixed_takes_zeros_and_numbers_too_small_for_an_exponent():
    assert not fixed(np.array([0.0, -0.0, 1e-42, -1e-42], np.float32), 2**30, 60).any()
    assert int(fixed(np.float32(2.0**-149), 2**30, -126)) == 2**7


@given(st.floats(1e-9, 1e9))
def test_a_ratio_is_right_to_31_bits(value):
    found = Ratio.of(value)
    assert 2**30 <= found.mantissa < 2**31
    assert abs(found.mantissa / 2.0**found.shift / value - 1) < 2**-30


def test_a_ratio_just_below_a_power_of_two():
    assert Ratio.of(math.nextafter(4.0, 0.0)) == Ratio(2**30, 28) == Ratio.of(4.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3))
def test_factors_at_their_common_shift_have_30_bits(factors):
    shift, largest = common_shift(*factors), max(map(abs, factors))
    assert largest * 2.0**shift <= 2**30
    assert shift == MOST_SHIFT or largest * 2.0**shift >= 2**29


def test_the_logistic_function():
    x = np.arange(-40 * 65536, 40 * 65536, 997)
    exact = 1 / (1 + np.exp(-x / 65536))
    assert np.abs(logistic(x) / 2**30 - exact).max() < 1e-5
    assert logistic(np.array([-(2**40), 2**40])).tolist() == pytest.approx([0, 2**30], abs=1)
