"""What a model takes results for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.strategies.additive.scale import APART, EDGE, as_logits


def test_shares_are_logits():
    found = as_logits([0.5, 0.75, 0.0, 1.0])
    assert found == pytest.approx([0.0, np.log(3), np.log(EDGE / (1 - EDGE)), np.log((1 - EDGE) / EDGE)])


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30).filter(lambda values: min(values) < 0))
def test_of_other_metrics_the_order_counts_alone(values):
    found = as_logits(values)
    assert found == pytest.approx(as_logits([value**3 for value in values]))
    for one, a in zip(values, found, strict=True):
        assert all((one < other) == (a < b - 1e-12) for other, b in zip(values, found, strict=True))
    assert abs(found.sum()) < 1e-9 or len(set(values)) < len(values)


def test_they_are_as_far_apart_as_logits_of_trials():
    assert as_logits(np.linspace(-40, 3, 500).tolist()).std() == pytest.approx(APART, rel=0.02)
