from __future__ import annotations

import json

import numpy as np
import pytest

from bankwise.search_settings import SearchSettings
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.settings import SpaceSettings
from bankwise.trainers.recipe import Recipe


def test_settings_are_the_same_through_json():
    settings = SearchSettings(
        strategy="tpe", engine="ray", trials=3, recipe=Recipe(epochs=2, lr=0.5), max_ram=1000, widths=(0.5, 1.0),
        depths=(1, 2), architecture_epochs=2,
        space=SpaceSettings(hidden=("int4",), layers={"4.*": ("binary",)}, tiles=((1, 3),), keep=("head",)),
    )  # fmt: skip
    assert SearchSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert SearchSettings.from_dict({}) == SearchSettings()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trial": 3}, ["unknown settings key 'trial'", "did you mean trials"]),
        ({"trials": 2.5}, ["settings trials: 2.5 is not a whole number"]),
        ({"trials": 0}, ["trials=0 must be at least 1"]),
        ({"strategy": "evolutoin"}, ["evolutoin", "did you mean evolution"]),
        ({"recipe": {"epoch": 3}}, ["unknown settings recipe key 'epoch'", "did you mean epochs"]),
        ({"space": {"max_k": 1}}, ["max_k=1"]),
        ({"widths": ["wide"]}, ["settings widths[0]: 'wide' is not a number"]),
        ([], ["settings: [] is not a mapping"]),
    ],
)
def test_wrong_settings_are_one_line(values, words):
    with pytest.raises(BankwiseError) as caught:
        SearchSettings.from_dict(values)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value), caught.value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trials": 2.5}, "settings trials: 2.5 is not a whole number"),
        ({"trials": True}, "settings trials: True is not a whole number"),
        ({"trials": "3"}, "settings trials: '3' is not a whole number"),
        ({"time": "2h"}, "settings time: '2h' is not a number"),
        ({"strategy": SearchSettings}, "SearchSettings'> is not text"),
        ({"recipe": "fast"}, "settings recipe: 'fast' is not a Recipe"),
        ({"recipe": {"epochs": 1}}, "settings recipe: {'epochs': 1} is not a Recipe"),
        ({"space": {"hidden": ["binary"]}}, "is not a SpaceSettings"),
        ({"widths": 0.5}, "settings widths: 0.5 is not a list"),
        ({"widths": (0.5, "wide")}, r"settings widths[1]: 'wide' is not a number"),
        ({"depths": [1.5]}, r"settings depths[0]: 1.5 is not a whole number"),
    ],
)
def test_settings_made_in_python_are_as_strict(values, words):
    with pytest.raises(BankwiseError) as caught:
        SearchSettings(**values)
    assert words in str(caught.value) and "\n" not in str(caught.value), caught.value


def test_lists_whole_numbers_and_numbers_of_numpy_are_taken():
    made = SearchSettings(widths=[1, 0.5], time=60, trials=np.int64(3))
    assert made.widths == (1.0, 0.5) and type(made.time) is float and type(made.trials) is int
    json.dumps(made.to_dict())
