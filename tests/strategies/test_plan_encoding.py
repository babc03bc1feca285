from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.scores import log_capture


@pytest.fixture(scope="module")
def points(task):
    return PlanEncoding(BudgetedSpace(SearchSpace(task.shape), Budget(1000)))


def test_a_feasible_plan_is_itself_through_codes_and_text(points):
    rng = np.random.default_rng(0)
    for _ in range(20):
        indices = tuple(int(i) for i in points.space.sample(rng))
        plan = points.space.plan(indices)
        assert points.decode(plan.codes) == points.indices(plan.codes) == indices
        assert points.encode(indices) == plan.codes and list(plan.codes) == list(points.names)
        assert points.plan(plan.codes) == plan == points.read(plan.text)


def test_importances_of_zero_are_the_plan_of_the_scores(points):
    wanted = points.space.solve(log_capture(points.space))
    assert points.decode(dict.fromkeys(points.names, 0)) == tuple(wanted)


@given(st.data())
def test_every_point_decodes_to_a_plan_within_the_budget(points, data):
    if data.draw(st.booleans()):
        drawn = [data.draw(st.sampled_from(row)) for row in points.codes.values()]
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


def test_what_is_wrong_is_named(points):
    names, codes = points.names, points.encode(points.decode(dict.fromkeys(points.names, 0)))
    for wrong, message in (
        (codes | {"convv": "B"}, "unknown layer 'convv'"),
        ({name: codes[name] for name in names[1:]}, f"no value for layer {names[0]!r}"),
        (codes | {names[0]: 0.5}, "every layer a choice's code, or every layer a finite number"),
        (codes | {names[0]: "Q7"}, f"layer {names[0]!r}: choice 'Q7' is not in the search space; near it are"),
    ):
        with pytest.raises(BankwiseError, match=message):
            points.plan(wrong)


def test_a_plan_over_the_budget_is_not_read(points):
    dearest = [int(row.argmax()) for row in points.space.costs]
    with pytest.raises(BankwiseError, match="exceeds the limits of the search .1,000 bytes"):
        points.read(points.space.plan(dearest).text)
    assert points.space.fits(points.decode(points.encode(dearest)))


@given(layers=st.integers(2, 4), share=st.floats(0, 1), data=st.data())
def test_the_projection_is_the_nearest_plan_that_fits(tiny_space, layers, share, data):
    """Nearest: the least sum of differences in bytes, and half a byte for another choice of the same size."""
    space = tiny_space(layers, share)
    points = PlanEncoding(space)
    wish = tuple(data.draw(st.integers(0, size - 1)) for size in space.sizes)
    found = points.decode(points.encode(wish))
    assert space.cost(found) <= space.budget.bytes
    if space.fits(wish):
        assert tuple(found) == wish

    def distance(indices) -> float:
        pairs = zip(space.costs, wish, indices, strict=True)
        return sum(abs(int(row[i] - row[j])) or 0.5 * (i != j) for row, i, j in pairs)

    plans = itertools.product(*map(range, space.sizes))
    assert distance(found) == min(distance(plan) for plan in plans if space.fits(plan))
