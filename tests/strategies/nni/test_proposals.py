from __future__ import annotations

import numpy as np
import pytest

from search_space.errors import InfeasibleBudget
from strategies import make_strategy
from strategies.nni.proposals import Proposals
from strategies.random_search import RandomSearch


@pytest.fixture
def space(small):
    return small.budgeted


@pytest.fixture
def proposals(space):
    return Proposals(space, lambda narrowed: make_strategy("random", narrowed, 3))


def accuracy(plan) -> float:
    """Made up, of the plan alone."""
    return hash(plan) % 1000 / 1000


def test_it_proposes_and_tells_as_the_strategy_alone_would(space):
    alone = make_strategy("evolution", space, 5)
    proposals = Proposals(space, lambda narrowed: make_strategy("evolution", narrowed, 5))
    for number in range(12):
        plan = alone.ask()
        found = proposals.propose(number)
        assert space.plan(found) == plan
        alone.tell(plan, {"accuracy": accuracy(found)})
        assert proposals.result(found, accuracy(found))
    assert proposals.strategy.state_dict() == alone.state_dict()


def test_a_crashed_plan_comes_back_twice_and_first(proposals):
    plan = proposals.propose(0)
    others = []
    for number in (1, 2):
        assert proposals.crashed(plan)
        others.append(proposals.propose(10 * number + 1))
        assert others[-1] == plan
    assert not proposals.crashed(plan)
    assert proposals.propose(3) != plan and not proposals.queue


def test_a_cancelled_plan_does_not_come_back(proposals):
    plan = proposals.propose(0)
    proposals.cancelled(plan)
    assert plan not in [proposals.propose(number) for number in range(1, 30)]


def test_a_result_is_taken_once_wherever_it_comes_from(proposals):
    plan = proposals.propose(0)
    assert proposals.result(plan, 0.5) and not proposals.result(plan, 0.9)
    assert [one for _, one in proposals.strategy.told] == [0.5]
    assert not proposals.pending and not proposals.crashed(plan)


def test_a_late_result_ends_the_retry(proposals):
    plan = proposals.propose(0)
    proposals.crashed(plan)
    assert proposals.result(plan, 0.5)
    assert proposals.propose(1) != plan


def test_a_number_that_repeats_loses_no_plan(proposals):
    first = proposals.propose(0)
    second = proposals.propose(0)
    assert first != second and proposals.propose(1) == first


def test_a_lost_plan_is_next_and_its_loss_counts_for_nothing(proposals):
    plan = proposals.propose(0)
    for number in range(1, 6):
        proposals.lost(plan)
        assert proposals.propose(number) == plan
    assert proposals.crashed(plan)


def test_state_goes_on_as_undisturbed(space, proposals):
    again = Proposals(space, lambda narrowed: make_strategy("random", narrowed, 99))
    plans = [proposals.propose(number) for number in range(6)]
    proposals.result(plans[0], 0.5)
    proposals.crashed(plans[1])
    proposals.cancelled(plans[2])
    again.load_state_dict(proposals.state_dict())
    assert again.state_dict() == proposals.state_dict()
    assert [again.propose(number) for number in range(6, 12)] == [proposals.propose(number) for number in range(6, 12)]


def test_narrowed_and_widened_again(space, proposals):
    plans = [proposals.propose(number) for number in range(20)]
    for plan in plans[:10]:
        proposals.result(plan, accuracy(plan))
    most = max({plan[3] for plan in plans[:10]}, key=[plan[3] for plan in plans[:10]].count)
    kept = [list(range(size)) for size in space.sizes]
    kept[3] = [most]
    assert proposals.narrow(kept) and not proposals.narrow(kept)
    within = [plan for plan in plans if plan[3] == most]
    assert len(proposals.strategy.told) == sum(plan in proposals.told for plan in within) > 0
    found = [proposals.propose(number) for number in range(20, 40)]
    assert all(plan[3] == most and space.fits(plan) for plan in found)
    assert not set(found) & set(plans)
    outside = next(plan for plan in plans[10:] if plan[3] != most)
    assert proposals.result(outside, 0.7) and len(proposals.strategy.told) < len(proposals.told)
    assert proposals.narrow([list(range(size)) for size in space.sizes])
    assert [one for _, one in proposals.strategy.told] == list(proposals.told.values())
    assert not {proposals.propose(number) for number in range(40, 60)} & {*found, *plans}


def test_a_retry_outside_the_narrowed_space_is_dropped(space, proposals):
    plan = proposals.propose(0)
    proposals.crashed(plan)
    kept = [[i for i in range(size) if i != plan[1]] if row == 1 else list(range(size))
            for row, size in enumerate(space.sizes)]  # fmt: skip
    proposals.narrow(kept)
    assert proposals.propose(1) != plan and not proposals.queue


def test_an_infeasible_narrowing_changes_nothing(space, proposals):
    state = proposals.state_dict()
    with pytest.raises(InfeasibleBudget):
        proposals.narrow([[int(np.argmax(row))] for row in space.costs])
    assert proposals.state_dict() == state


def test_a_strategy_is_prepared_once_a_space_and_not_before_it_proposes(space):
    prepared = []
    proposals = Proposals(space, lambda narrowed: RandomSearch(narrowed, 0), prepared.append)
    proposals.result(tuple(int(i) for i in space.solve([-row.astype(float) for row in space.costs])), 0.5)
    assert not prepared
    plan = proposals.propose(0)
    proposals.propose(1)
    assert len(prepared) == 1
    again = Proposals(space, lambda narrowed: RandomSearch(narrowed, 0), prepared.append)
    again.load_state_dict(proposals.state_dict())
    again.propose(2)
    assert len(prepared) == 1
    proposals.narrow([[i] if row == 0 else list(range(size))
                      for row, (i, size) in enumerate(zip(plan, space.sizes, strict=True))])  # fmt: skip
    proposals.propose(2)
    assert len(prepared) == 2 and prepared[1].space.sizes[0] == 1
