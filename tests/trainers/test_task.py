from __future__ import annotations

import json

import pytest

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.task import TaskSource


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
