"""The decomposition against the paper's greedy form in exact numbers, and thresholds against all of them tried."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.basis.decomposition import MOST_PLANES, Magnitudes, levels
from bankwise.search_space.basis.gf2 import rank

sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@st.composite
def sixteenths(draw) -> torch.Tensor:
    """Magnitudes in steps of 1/16, so that many are equal and all sums are exact."""
    height, width = draw(sizes)
    values = st.integers(0, draw(st.sampled_from([3, 40, 400])))
    numbers = draw(st.lists(values, min_size=height * width, max_size=height * width))
    return torch.tensor(numbers, dtype=torch.float64).reshape(height, width) / 16


def greedy(r: Fraction, a: Fraction, low: int, high: int) -> tuple[list[int], Fraction]:
    """The paper's bits of one magnitude, from plane `high` down to `low`, and what is left; D as it defines it."""
    half = Fraction(2) ** (low - 1)
    d = a * half / (1 - half)
    bits = []
    for i in range(high, low - 1, -1):
        bit = r > Fraction(2) ** i * (a + d) - d
        r -= Fraction(2) ** i * (a + d) * bit
        bits.append(int(bit))
    assert -d < r <= d
    return bits, r


@given(st.integers(1, 10**4), st.integers(1, 10**4), st.integers(0, 7))
def test_greedy_planes_are_the_bits_of_the_nearest_level(r, a, raw):
    """Plane 0 of the paper is plane `raw` here: `raw` planes below it, and 2D = a / (2^raw - 1/2)."""
    r, a = Fraction(r, 64), Fraction(a, 64)
    high = max(0, math.floor(math.log2(r / a)) + 1)
    bits, left = greedy(r, a, -raw, high)
    step = a / (Fraction(2) ** raw - Fraction(1, 2))
    level = math.ceil(r / step - Fraction(1, 2))
    assert level == sum(bit << place for place, bit in enumerate(reversed(bits)))
    assert left == r - step * level


@given(sixteenths(), st.integers(1, 12), st.integers(1, 6))
def test_the_rest_never_exceeds_half_a_step(matrix, sixteenth, planes):
    step = sixteenth / 16
    level = levels(matrix, step, planes)
    assert torch.equal(level, level.round()) and level.min() >= 0 and level.max() < 2**planes
    inside = matrix <= (2**planes - 0.5) * step
    assert ((matrix - step * level).abs()[inside] <= step / 2).all()
    assert (level[~inside] == 2**planes - 1).all()


@given(sixteenths(), st.integers(0, 6))
def test_the_threshold_is_the_first_crossing_from_above(matrix, most):
    floor = float(matrix.max()) / 64
    falling = [*sorted({float(value) for value in matrix.flatten() if value > floor}, reverse=True), floor]
    wanted = next((a for a, b in zip(falling, falling[1:], strict=False) if ranked(matrix, b) > most), floor)
    assert Magnitudes(matrix).threshold(most) == wanted


def ranked(matrix: torch.Tensor, threshold: float) -> int:
    return rank((matrix > threshold).numpy())


def test_the_rank_is_not_monotone_in_the_threshold():
    """So the smallest threshold of all with a low rank is no use: it marks everything."""
    matrix = torch.ones(8, 8) / 2 + torch.eye(8)
    assert [ranked(matrix, t) for t in (1.4, 0.4)] == [8, 1]
    assert Magnitudes(matrix).threshold(4) == 1.5


@given(sixteenths())
def test_thresholds_do_not_depend_on_what_was_asked_before(matrix):
    one = Magnitudes(matrix)
    asked = {most: one.threshold(most) for most in (2, 0, 4, 1, 3)}
    assert asked == {most: Magnitudes(matrix).threshold(most) for most in asked}


@given(sixteenths(), st.integers(0, 3), st.integers(1, 40))
def test_plane_ranks_are_those_of_the_levels(matrix, raw, sixteenth):
    step = sixteenth / 16
    level = levels(matrix, step, 40).long() >> raw
    wanted = [rank(((level >> i) & 1).bool().numpy()) for i in range(int(level.max()).bit_length())]
    found = Magnitudes(matrix).plane_ranks(step, raw)
    assert list(found) == wanted
    for limits in (wanted, [r + 1 for r in wanted], [*wanted, 0], wanted[:-1], [r - 1 for r in wanted]):
        fits = len(limits) >= len(wanted) and all(a <= b for a, b in zip(wanted, limits, strict=False))
        assert Magnitudes(matrix).plane_ranks(step, raw, limits) == (tuple(wanted) if fits else None)


@given(sixteenths(), st.integers(0, 4), st.lists(st.integers(0, 5), max_size=3))
def test_fitted_steps_keep_every_rank_and_are_no_coarser_than_counted_ones(matrix, raw, ranks):
    if raw + len(ranks) == 0:
        raw = 1
    one = Magnitudes(matrix)
    counted, fitted = one.counted_step(raw, ranks), one.fitted_step(raw, ranks)
    for step in (counted, fitted):
        found = one.plane_ranks(step, raw)
        assert len(found) <= len(ranks) and all(a <= b for a, b in zip(found, ranks, strict=False))
    assert one.uniform_step(raw + len(ranks)) <= fitted <= counted


@given(sixteenths(), st.integers(1, 6), st.sampled_from([0.0, 0.2, 0.5, 0.9]))
def test_the_decomposition_of_j_and_bottleneck(matrix, planes, bottleneck):
    height, width = matrix.shape
    one = Magnitudes(matrix)
    step, raw, ranks = one.decomposed(planes, bottleneck)
    assert raw + len(ranks) <= MOST_PLANES
    if not ranks:
        assert raw == planes or not matrix.any()
        assert step == one.uniform_step(planes) or not matrix.any()
        return
    # what is stored factorized are the top planes of the paper's step, and pays
    assert one.plane_ranks(step, raw) == ranks
    a = one.threshold(math.floor(min(height, width) * bottleneck))
    below = max(0, planes - 1 - math.floor(math.log2(float(matrix.max()) / a)))
    assert step == pytest.approx(a / (2**below - 0.5), rel=1e-5) and raw >= below
    assert sum(ranks) * (height + width) < len(ranks) * height * width
    every = one.plane_ranks(step, below)
    assert raw * height * width + sum(ranks) * (height + width) == min(
        (below + cut) * height * width + sum(every[cut:]) * (height + width) for cut in range(len(every) + 1)
    )


@pytest.mark.parametrize("count", [1, 63, 64, 4000])
def test_the_largest_entries_come_with_their_equals(count):
    matrix = torch.from_numpy(np.random.default_rng(0).integers(0, 9, (80, 60))).float()
    values = Magnitudes(matrix).top(count)
    assert len(values) >= count and torch.equal(values, matrix.flatten().sort(descending=True).values[: len(values)])
    assert int((matrix == values[-1]).sum()) == int((values == values[-1]).sum())
