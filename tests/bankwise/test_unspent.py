"""What a budget leaves, and the families that are usual for it, against sums by hand."""

from __future__ import annotations

import pytest

from bankwise import plan
from bankwise.search_space.accounting import FILE
from bankwise.search_space.budget import Budget
from bankwise.search_space.limits import Limits
from bankwise.search_space.settings import USUAL, SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.strategies import BudgetedSpace
from bankwise.unspent import most_bytes, unspent


@pytest.fixture(scope="module")
def shape():
    return shape_of("tiny", (1, 8, 8), 10)


def dearest(shape, hidden):
    """Bytes of the plan of every layer's dearest choice, as its file has them."""
    space = SearchSpace(shape, SpaceSettings(hidden=hidden))
    rows = [max(int(size) for size in row) for row in space.prices.file_bytes]
    return sum(rows) + space.prices.fixed_file_bytes


def test_the_usual_families_follow_the_bits_a_weight(shape):
    for bits, row in ((0.2, 0), (1.0, 0), (1.1, 1), (3.1, 2), (99, 2)):
        limits = Limits(Budget(int(bits * shape.weights / 8)))
        assert BudgetedSpace.of(shape, SpaceSettings(), limits).space.settings.hidden == USUAL[row][1]
    said = SpaceSettings(hidden=("binary",), vectors=("v8",))
    assert BudgetedSpace.of(shape, said, Limits(Budget(10**6))).space.settings == said


@pytest.mark.parametrize("budget", [900, 2000, 4000, 6000, 9000, 12_000, 16_000, 20_000, 30_000])
def test_what_the_usual_families_can_use_is_used(budget):
    """Within a hundredth, or a line says what is left."""
    report = plan("tiny", budget)
    left = budget - report.price.file_bytes
    assert 0 <= left
    assert (report.unspent is None) == (left <= budget / 100)


def test_a_budget_of_no_use_is_a_note_with_the_largest_of_use(shape):
    most = dearest(shape, USUAL[2][1])
    assert most == most_bytes(SearchSpace(shape, SpaceSettings(hidden=USUAL[2][1])), FILE)
    report = plan("tiny", "1GiB")
    assert report.price.file_bytes > 0.9 * most  # it was 5,446 of stacked and binary alone
    assert report.unspent.endswith(f"no plan takes more than {most:,}, which is the largest budget of use")
    assert plan("tiny", most).unspent is None


def test_families_that_would_use_what_is_left_are_named(shape):
    few = SpaceSettings(hidden=("stacked", "binary"))
    report = plan("tiny", 9000, space=few)
    most, more = dearest(shape, few.hidden), dearest(shape, USUAL[1][1])
    assert report.price.file_bytes <= most < 9000 < more
    taken = report.price.file_bytes
    assert report.unspent == (
        f"{9000 - taken:,} of the budget's 9,000 bytes are left: no plan takes more than {most:,}; "
        f"--hidden stacked,sparse,binary,int2,int4 would use up to {more:,}"
    )
    assert plan("tiny", 9000, space=SpaceSettings(hidden=USUAL[1][1])).price.file_bytes > most
    larger = unspent(BudgetedSpace(SearchSpace(shape, few), Budget(4000)), 3000)
    assert larger.endswith("plans of up to 4,000 bytes are there, but none within the limits scored better")
