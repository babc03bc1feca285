"""Recipes round-trip through JSON, and a bad value is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.presets import PRESETS
from bankwise.trainers.recipe import AMP, FLIPS, OPTIMIZERS, SCHEDULES, STARTS, Recipe

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
    flips=st.sampled_from(FLIPS),
    shift=st.none() | st.integers(0, 9),
    start=st.sampled_from(STARTS),
    whiten=st.booleans(),
    average=st.floats(0, 1),
    recalibrate=st.integers(0, 100),
    amp=st.sampled_from(AMP),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
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
        "flips": ["none", True],
        "shift": [-1, 1.5, "2"],
        "start": ["zero", None],
        "whiten": [1, None],
        "average": [-0.1, 1.1, None],
        "recalibrate": [-1, True, 2.5],
        "amp": [True, "bf16"],
        "channels_last": [None],
        "seed": [-1, 0.5, 2**63],
        "threads": [0, 1.5],
        "device": [None, "gpu", "cuda:", 0],
    }.items(),
)
def test_bad_values_name_the_field(name, values):
    for value in values:
        with pytest.raises(BankwiseError) as caught:
            Recipe.from_dict({name: value})
        assert f"recipe {name}" in str(caught.value) and str(value) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_unknown_field_brings_the_nearest():
    with pytest.raises(BankwiseError, match="unknown recipe key 'epoch': did you mean epochs"):
        Recipe.from_dict({"epoch": 3})


def test_crops_move_images_no_further_than_the_data_set_allows():
    assert [Recipe(shift=shift).crop(4) for shift in (None, 0, 2, 9)] == [4, 0, 2, 4]


def test_presets_are_recipes():
    for name, values in PRESETS.items():
        assert Recipe.from_dict(values) and values, name
    assert PRESETS["fast"]["epochs"] < PRESETS["full"]["epochs"]
