from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.networks import IN_MEMORY, build
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource, make_task


def test_a_data_description_is_the_same_through_json():
    source = TaskSource(
        "tiny", "digits", data_root="data", limit=200, validation=0.25, keep=("stem", "head.*"), image_size=12,
        normalization="imagenet", flip=False,
    )  # fmt: skip
    assert TaskSource.from_dict(json.loads(json.dumps(source.to_dict()))) == source
    assert TaskSource.from_dict({"network": "tiny", "data": "digits"}) == TaskSource("tiny", "digits")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limt": 3}, ["unknown data description key 'limt'", "did you mean limit"]),
        ({"limit": "3"}, ["data description limit: '3' is not a whole number"]),
        ({"keep": "stem"}, ["data description keep: 'stem' is not a list"]),
        ({"flip": 1}, ["data description flip: 1 is not true or false"]),
        ({"network": None}, ["data description network: None is not text"]),
        ({"normalization": "imagnet"}, ["normalization 'imagnet'", "did you mean imagenet"]),
    ],
)
def test_a_wrong_data_description_is_one_line(changes, words):
    with pytest.raises(BankwiseError) as caught:
        TaskSource.from_dict(TaskSource("tiny", "digits").to_dict() | changes)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value), caught.value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"limit": "5"}, "data description limit: '5' is not a whole number"),
        ({"limit": -1}, "limit=-1 must be at least 1"),
        ({"validation": "a"}, "data description validation: 'a' is not a number"),
        ({"validation": float("nan")}, "validation share nan: must lie between 0 and 1"),
        ({"flip": "no"}, "data description flip: 'no' is not true or false"),
        ({"data_root": 5}, "data description data_root: 5 is not text"),
        ({"keep": "stem"}, "data description keep: 'stem' is not a list"),
    ],
)
def test_a_data_description_made_in_python_is_as_strict(values, words):
    with pytest.raises(BankwiseError) as caught:
        TaskSource("tiny", "digits", **values)
    assert str(caught.value) == words


def test_a_path_is_a_data_root():
    source = TaskSource("tiny", "digits", data_root=Path("data"), keep=["stem"])
    assert source == TaskSource("tiny", "digits", data_root="data", keep=("stem",))


def test_modules_in_memory_that_begin_with_the_same_logits_are_told_apart():
    """A last layer of zeros hides all before it."""

    def identity(seed: int) -> dict:
        torch.manual_seed(seed)
        module = build("tiny", classes=10, in_channels=1)
        for parameter in list(module.parameters())[-2:]:
            parameter.data.zero_()
        return make_task(IN_MEMORY, load_data("digits", limit=40), Recipe(epochs=1), network=module).identity()

    assert identity(0) == identity(0)
    assert identity(0)["network_output"] != identity(1)["network_output"]
