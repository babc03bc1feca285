from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankwise.report.style import LIGHT, byte_axis, figure, positive_axis, size_text


def marks(ax, name: str) -> list[float]:
    """The marks that are seen."""
    low, high = getattr(ax, f"get_{name}lim")()
    axis = ax.xaxis if name == "x" else ax.yaxis
    return [tick for tick in axis.get_majorticklocs() if low <= tick <= high]


@settings(max_examples=40)
@given(st.floats(1, 1e9), st.floats(1, 1e5))
def test_an_axis_of_bytes_is_marked_legibly(low, ratio):
    ax = figure(LIGHT, 3).subplots()
    byte_axis(ax, low, low * ratio)
    assert 2 <= len(marks(ax, "x")) <= 9
    assert ax.get_xlim()[0] < low and low * ratio < ax.get_xlim()[1]


@settings(max_examples=40)
@given(st.floats(1e-4, 1e3), st.floats(1, 1e5))
def test_an_axis_of_rates_is_marked_legibly(low, ratio):
    ax = figure(LIGHT, 3).subplots()
    positive_axis(ax, "y", [low, low * ratio])
    assert 2 <= len(marks(ax, "y")) <= 12


@pytest.mark.parametrize(("size", "text"), [(768, "768 B"), (1536, "1.5 KiB"), (2**20, "1 MiB"), (3, "3 B")])
def test_sizes(size, text):
    assert size_text(size) == text
