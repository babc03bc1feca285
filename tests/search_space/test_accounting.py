"""Every accounting: a plan costs its fixed cost and one number a choice, in the table as in the price."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankwise.search_space.accounting import ACCOUNTINGS, FILE, PAPER, Accounting, make_accounting
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.networks import build
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import trace


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10))


@pytest.mark.parametrize("accounting", ACCOUNTINGS, ids=[one.name for one in ACCOUNTINGS])
def test_a_plan_costs_the_fixed_cost_and_one_number_a_choice(space, accounting: Accounting):
    rng, table = np.random.default_rng(0), accounting.table(space.prices)
    for _ in range(20):
        indices = [int(rng.integers(size)) for size in space.sizes]
        plan = space.plan(indices)
        cost = accounting.plan_cost(price(space.shape, plan))
        choices = [int(row[i]) for row, i in zip(table, indices, strict=True)]
        assert cost == accounting.fixed(space.prices) + sum(choices)
        assert accounting.plan_bytes(price(space.shape, plan)) == accounting.in_bytes(cost)


@settings(max_examples=50)
@given(cost=st.integers(0, 2**60))
def test_a_cost_fits_a_budget_of_its_bytes_and_none_below(cost):
    for accounting in ACCOUNTINGS:
        size = accounting.in_bytes(cost)
        assert cost <= accounting.capacity(size) and (size == 0 or cost > accounting.capacity(size - 1))


def test_accountings_are_found_by_name():
    assert make_accounting("file") is FILE is make_accounting(FILE) and make_accounting("paper") is PAPER
    assert FILE.units_per_byte == 1 and PAPER.units_per_byte == 8
    assert len({one.name for one in ACCOUNTINGS}) == len(ACCOUNTINGS) and all(one.help for one in ACCOUNTINGS)
    with pytest.raises(BankwiseError, match="unknown accounting 'papr': did you mean paper"):
        make_accounting("papr")
