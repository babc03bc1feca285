"""Recipes round-trip through JSON, and a bad value is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space.errors import BankwiseError
from trainers.recipe import AMP, OPTIMIZERS, SCHEDULES, Recipe

RECIPES = st.builds(
    Recipe,
    epochs=st.integers(1, 500),
    batch=st.integers(1, 1000),
    optimizer=st.sampled_from(OPTIMIZERS),
    lr=st.floats(1e-9, 10),
    weight_decay=st.one_of(st.just(0), st.floats(0, 1)),
    schedule=st.sampled_from(SCHEDULES),
    label_smoothing=st.floats(0, 0.99),
    distill=st.one_of(st.integers(0, 1), st.floats(0, 1)),
    temperature=st.floats(0.1, 20),
    augment=st.booleans(),
    recalibrate=st.integers(0, 100),
    amp=st.sampled_from(AMP),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**64),
    threads=st.none() | st.integers(1, 64),
)


@given(RECIPES)
def test_round_trip(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_missing_fields_take_defaults_and_numbers_have_one_form():
    assert Recipe.from_dict({"epochs": 3}) == Recipe(epochs=3)
    assert json.dumps(Recipe(distill=1).to_dict()) == json.dumps(Recipe(distill=1.0).to_dict())


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "epochs": [0, -1, 1.5, "3", True, None],
        "batch": [0, 2.0],
        "optimizer": ["adam", None],
        "lr": [0, -1.0, float("nan"), float("inf"), "big", None, True],
        "weight_decay": [-1e-9, "0"],
        "schedule": ["onecycle"],
        "label_smoothing": [1, -0.1],
        "distill": [1.01, -0.01],
        "temperature": [0, -4],
        "augment": [1, "yes"],
        "recalibrate": [-1, True, 2.5],
        "amp": [True, "bf16"],
        "channels_last": [None],
        "seed": [-1, 0.5],
        "threads": [0, 1.5],
    }.items(),
)
def test_bad_values_name_the_field(name, values):
    for value in values:
        with pytest.raises(BankwiseError) as caught:
            Recipe.from_dict({name: value})
        assert f"recipe {name}" in str(caught.value) and str(value) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_unknown_field_brings_the_nearest():
    with pytest.raises(BankwiseError, match="unknown recipe field 'epoch': did you mean epochs"):
        Recipe.from_dict({"epoch": 3})
