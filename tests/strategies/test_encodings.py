from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.encodings import ImportanceEncoding
from bankwise.strategies.scores import log_capture, log_rate


def test_zero_importance_is_the_plan_of_the_scores(space):
    decoded = ImportanceEncoding(space, log_rate(space)).decode(np.zeros(len(space.sizes)))
    assert (decoded == space.solve(log_rate(space))).all()


def test_every_point_decodes_to_a_feasible_plan(space):
    importance = ImportanceEncoding(space, log_capture(space))

    @settings(max_examples=60)
    @given(st.lists(st.floats(-50, 50), min_size=len(space.sizes), max_size=len(space.sizes)))
    def any_importance(point):
        assert space.fits(importance.decode(point))

    any_importance()


def test_an_important_layer_gets_no_fewer_bytes(space):
    encoding = ImportanceEncoding(space, log_capture(space))
    for layer in range(len(space.sizes)):
        point = np.zeros(len(space.sizes))
        spent = []
        for value in (-3.0, 0.0, 3.0):
            point[layer] = value
            spent.append(encoding.scores[layer][encoding.decode(point)[layer]])
        assert spent == sorted(spent)


def test_bad_points(space):
    with pytest.raises(BankwiseError, match="finite numbers, one a layer"):
        ImportanceEncoding(space, log_rate(space)).decode([0.0])
