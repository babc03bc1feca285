from __future__ import annotations

import json

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
