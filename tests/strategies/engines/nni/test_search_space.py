from __future__ import annotations

import pytest

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.search_space import kept_choices, search_space


@pytest.fixture(scope="module")
def points(small):
    return PlanEncoding(small.budgeted)


def test_the_search_spaces_are_nni_s_and_name_every_layer(points):
    choices = search_space(points, "choice")
    assert list(choices) == list(points.names)
    assert [len(row["_value"]) for row in choices.values()] == list(points.space.sizes)
    assert all(row["_type"] == "choice" for row in choices.values())
    assert search_space(points, "importance")["1.0"] == {"_type": "uniform", "_value": [-2.0, 2.0]}


def test_what_an_edited_search_space_keeps(points):
    full = search_space(points, "choice")
    assert kept_choices(points, full) == [list(range(size)) for size in points.space.sizes]
    full["1.0"] = {"_type": "choice", "_value": ["B", "S2.2.1x1", "B"]}
    assert kept_choices(points, full)[1] == sorted(points.codes["1.0"].index(code) for code in ("B", "S2.2.1x1"))


@pytest.mark.parametrize("row", [
    {"_type": "uniform", "_value": [0, 1]}, {"_type": "choice", "_value": []}, ["B"], None, {},
    {"_type": "choice", "_value": ["X9"]}, {"_type": "choice", "_value": [3]},
])  # fmt: skip
def test_an_edited_search_space_that_is_none(points, row):
    with pytest.raises(BankwiseError):
        kept_choices(points, {**search_space(points, "choice"), "1.0": row})
