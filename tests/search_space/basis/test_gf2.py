"""Elimination over GF(2) against the span counted out, and against products of known rank."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bankwise.search_space.basis.gf2 import entries_rank, factorize, outside, rank

shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
matrices = shapes.flatmap(lambda shape: arrays(bool, shape))


def span(bits: np.ndarray) -> set[tuple[int, ...]]:
    """Every sum modulo 2 of some of the rows."""
    sums = set()
    for picked in itertools.product([0, 1], repeat=len(bits)):
        sums.add(tuple((np.array(picked) @ bits.astype(int) % 2).tolist()))
    return sums


@given(matrices)
def test_the_span_has_two_to_the_rank_members(bits):
    assert len(span(bits)) == 2 ** rank(bits)
    assert rank(bits.T) == rank(bits) == entries_rank(*np.nonzero(bits))


@given(matrices, st.integers(0, 8))
def test_a_limit_says_whether_the_rank_is_above_it(bits, limit):
    assert rank(bits, limit) == min(rank(bits), limit + 1) == entries_rank(*np.nonzero(bits), limit)


@given(matrices)
def test_factors_multiply_to_the_matrix_and_are_as_thin_as_its_rank(bits):
    left, right = factorize(bits)
    assert left.shape == (bits.shape[0], rank(bits)) and right.shape == (rank(bits), bits.shape[1])
    assert np.array_equal(left.astype(int) @ right.astype(int) % 2, bits)


@given(matrices, st.integers(0, 7))
def test_outside_are_the_rows_beyond_the_span_of_the_first_independent_ones(bits, most):
    first: list[int] = []
    for index in range(len(bits)):
        if len(first) < most and tuple(bits[index].astype(int)) not in span(bits[first]):
            first.append(index)
    inside = span(bits[first])
    assert outside(bits, most).tolist() == [tuple(row.astype(int)) not in inside for row in bits]


@pytest.mark.parametrize(("height", "width", "known"), [(1536, 1536, 300), (130, 700, 65), (64, 64, 64), (3, 4096, 2)])
def test_large_products_of_known_rank(height, width, known):
    rng = np.random.default_rng(0)
    left, right = rng.random((height, known)) < 0.5, rng.random((known, width)) < 0.5
    left[:known], right[:, :known] = np.eye(known, dtype=bool), np.eye(known, dtype=bool)  # both of full rank
    bits = (left.astype(np.float32) @ right.astype(np.float32) % 2).astype(bool)
    assert rank(bits) == known
    u, v = factorize(bits)
    assert np.array_equal(u.astype(np.float32) @ v.astype(np.float32) % 2, bits.astype(np.float32))


def test_real_rank_is_another_thing():
    assert rank(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool)) == 2  # over the reals it is 3
