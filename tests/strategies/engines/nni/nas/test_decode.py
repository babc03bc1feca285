"""The most probable plan within the budget, against enumeration of every plan."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.price import price
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.nas.decode import most_probable


def draw_probabilities(data, space: BudgetedSpace) -> dict[str, dict[str, float]]:
    found = {}
    for name, codes in PlanEncoding(space).codes.items():
        parts = data.draw(st.lists(st.integers(0, 1000), min_size=len(codes), max_size=len(codes)))
        row = np.array(parts, float) + 1e-3 * (sum(parts) == 0)
        found[name] = dict(zip(codes, (row / row.sum()).tolist(), strict=True))
    return found


@given(layers=st.integers(2, 4), share=st.floats(0, 1), data=st.data())
def test_it_is_the_most_probable_of_all_plans_that_fit(tiny_space, layers, share, data):
    space = tiny_space(layers, share)
    probabilities = draw_probabilities(data, space)
    found = most_probable(space, probabilities)
    assert price(space.space.shape, space.plan(PlanEncoding(space).indices(found))).file_bytes <= space.budget.bytes

    def likelihood(sample) -> float:
        return sum(np.log(max(probabilities[name][code], 1e-300)) for name, code in sample.items())

    rows = PlanEncoding(space).codes
    plans = (dict(zip(rows, codes, strict=True)) for codes in itertools.product(*rows.values()))
    best = max(likelihood(plan) for plan in plans if space.fits(PlanEncoding(space).indices(plan)))
    assert likelihood(found) == pytest.approx(best, rel=1e-9, abs=1e-9)
    argmax = {name: max(row, key=row.get) for name, row in probabilities.items()}
    if space.fits(PlanEncoding(space).indices(argmax)):
        assert found == argmax


def test_rows_of_numbers_do_as_well_as_dicts(tiny_space):
    space = tiny_space(3, 0.4)
    rng = np.random.default_rng(0)
    rows = {name: rng.dirichlet(np.ones(len(codes))) for name, codes in PlanEncoding(space).codes.items()}
    named = {name: dict(zip(PlanEncoding(space).codes[name], row, strict=True)) for name, row in rows.items()}
    assert most_probable(space, rows) == most_probable(space, named)


def test_probabilities_that_are_none_are_refused(tiny_space):
    space = tiny_space(2, 0.4)
    good = {name: [1 / len(codes)] * len(codes) for name, codes in PlanEncoding(space).codes.items()}
    for bad in ([np.nan] * 5, [1.0]):
        with pytest.raises(BankwiseError, match="layer 'part.1'"):
            most_probable(space, good | {"part.1": bad})
