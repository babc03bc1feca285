from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space.errors import BankwiseError
from search_space.price import price
from strategies.nni.points import Points
from strategies.scores import log_capture


@pytest.fixture(scope="module")
def points(small):
    return Points(small.budgeted)


def test_the_search_spaces_are_nni_s_and_name_every_layer(points):
    choices = points.search_space("choice")
    assert list(choices) == list(points.names)
    assert [len(row["_value"]) for row in choices.values()] == list(points.space.sizes)
    assert all(row["_type"] == "choice" for row in choices.values())
    assert points.search_space("importance")["1.0"] == {"_type": "uniform", "_value": [-2.0, 2.0]}


def test_a_feasible_plan_is_itself_through_codes_and_text(points):
    rng = np.random.default_rng(0)
    for _ in range(20):
        plan = tuple(int(i) for i in points.space.sample(rng))
        assert points.decode(points.encode(plan)) == plan == points.read(points.text(plan))


def test_importances_of_zero_are_the_plan_of_the_scores(points):
    wanted = points.space.solve(log_capture(points.space))
    assert points.decode(dict.fromkeys(points.names, 0)) == tuple(wanted)


@given(st.data())
def test_every_point_decodes_to_a_plan_within_the_budget(points, data):
    if data.draw(st.booleans()):
        drawn = [data.draw(st.sampled_from(row)) for row in points.codes]
    else:
        drawn = [data.draw(st.floats(allow_nan=False, allow_infinity=False)) for _ in points.names]
    plan = points.decode(dict(zip(points.names, drawn, strict=True)))
    assert price(points.space.space.shape, points.space.plan(plan)).file_bytes <= 1000


@pytest.mark.parametrize("change", [
    lambda p: {}, lambda p: None, lambda p: "0.0=B", lambda p: [1, 2], lambda p: {**p, "nine": "B"},
    lambda p: {name: p[name] for name in list(p)[1:]}, lambda p: {**p, "0.0": "S3.1.1x3"}, lambda p: {**p, "0.0": 1},
    lambda p: {**p, "0.0": None}, lambda p: {**p, "0.0": ["B"]}, lambda p: dict.fromkeys(p, math.nan),
    lambda p: dict.fromkeys(p, True), lambda p: dict.fromkeys(p, 10**400), lambda p: dict.fromkeys(p, math.inf),
])  # fmt: skip
def test_what_is_no_point_is_one_line(points, change):
    plan = points.encode(points.decode(dict.fromkeys(points.names, 0)))
    with pytest.raises(BankwiseError) as told:
        points.decode(change(plan))
    assert "\n" not in str(told.value) and len(str(told.value)) < 300


def test_a_plan_over_the_budget_is_not_read(points):
    dearest = [int(row.argmax()) for row in points.space.costs]
    with pytest.raises(BankwiseError, match="exceeds the budget of 1,000 bytes"):
        points.read(points.text(dearest))
    assert points.space.fits(points.decode(points.encode(dearest)))


def test_what_an_edited_search_space_keeps(points):
    full = points.search_space("choice")
    assert points.kept(full) == [list(range(size)) for size in points.space.sizes]
    full["1.0"] = {"_type": "choice", "_value": ["B", "S2.2.1x1", "B"]}
    assert points.kept(full)[1] == [0, len(points.codes[1]) - 1]


@pytest.mark.parametrize("row", [
    {"_type": "uniform", "_value": [0, 1]}, {"_type": "choice", "_value": []}, ["B"], None, {},
    {"_type": "choice", "_value": ["X9"]}, {"_type": "choice", "_value": [3]},
])  # fmt: skip
def test_an_edited_search_space_that_is_none(points, row):
    with pytest.raises(BankwiseError):
        points.kept({**points.search_space("choice"), "1.0": row})
