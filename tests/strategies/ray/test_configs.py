from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("ray")
import numpy as np

from search_space.errors import BankwiseError
from search_space.price import price
from strategies.encodings import BOX
from strategies.ray.configs import config_plan, importance_bounds, importance_space, plan_config, plan_text
from strategies.scores import log_capture


def test_plans_through_configs_and_back(tight):
    rng = np.random.default_rng(0)
    for _ in range(50):
        plan = tight.plan(tight.sample(rng))
        config = plan_config(plan)
        assert list(config) == list(tight.space.names)
        assert all(isinstance(code, str) for code in config.values())
        assert config_plan(config, tight) == plan
        assert plan_text(plan).split() == [f"{name}={code}" for name, code in config.items()]


def test_all_zero_is_the_optimum_of_the_scores(tight):
    assert config_plan(dict.fromkeys(tight.space.names, 0.0), tight) == tight.plan(tight.solve(log_capture(tight)))


@settings(max_examples=100)
@given(st.data())
def test_any_importances_are_a_plan_within_the_budget(tight, quick, data):
    number = st.floats(-50, 50) | st.integers(-5, 5)
    config = {name: data.draw(number) for name in tight.space.names}
    assert price(quick.shape, config_plan(config, tight)).file_bytes <= 900


def test_the_search_space_of_importances_is_the_box(tight):
    space = importance_space(tight)
    assert list(space) == list(tight.space.names)
    for domain in space.values():
        assert (domain.lower, domain.upper) == BOX
        assert BOX[0] <= domain.sample() <= BOX[1]
    assert importance_bounds(tight) == {name: list(BOX) for name in tight.space.names}


def test_a_config_that_is_no_plan_is_one_clear_line(tight):
    names = tight.space.names
    config = plan_config(tight.plan(tight.solve(log_capture(tight))))
    dearest = tight.space.plan([int(row.argmax()) for row in tight.space.prices.file_bytes])
    for wrong, message in (
        (config | {"convv": "B"}, "unknown layer 'convv'"),
        ({name: config[name] for name in names[1:]}, f"no entry for layer {names[0]!r}"),
        (config | {names[0]: 0.5}, "every layer a choice's code, or every layer a number"),
        (dict.fromkeys(names, True), "every layer a choice's code"),
        (config | {names[0]: "Q7"}, "'Q7' is not a choice's code"),
        (config | {names[0]: "F32"}, f"layer {names[0]!r}"),
        (dict.fromkeys(names, math.nan), "finite"),
        (plan_config(dearest), "exceeds the limits of the search"),
    ):
        with pytest.raises(BankwiseError, match=message):
            config_plan(wrong, tight)
