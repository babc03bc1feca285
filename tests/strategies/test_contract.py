"""What every strategy must do, whatever it does."""

from __future__ import annotations

import json
import math
import zlib

import pytest

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.limits import Limits
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy, strategy_names


def fitness(plan) -> dict:
    """A made-up accuracy in [0, 1) that depends on the plan alone."""
    return {"accuracy": zlib.crc32(plan.to_yaml().encode()) / 2**32}


@pytest.fixture(scope="module", params=sorted(strategy_names()))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def prepared(name, task):
    """The state of the strategy just prepared (the supernet of one is trained once)."""
    space = BudgetedSpace(SearchSpace(task.shape), Budget(1300))
    strategy = make_strategy(name, space, seed=3)
    strategy.prepare(task)
    return json.dumps(strategy.state_dict())


def fresh(name, space, prepared):
    strategy = make_strategy(name, space, seed=3)
    strategy.load_state_dict(json.loads(prepared))
    return strategy


def run(strategy, trials):
    plans = []
    for _ in range(trials):
        plan = strategy.ask()
        if plan is None:
            break
        plans.append(plan)
        strategy.tell(plan, fitness(plan))
    return plans


def test_every_plan_is_within_the_budget_and_new(name, task, space, prepared):
    plans = run(fresh(name, space, prepared), 30)
    assert plans
    assert all(price(task.shape, plan).file_bytes <= 1300 for plan in plans)
    assert len({plan.to_yaml() for plan in plans}) == len(plans)


def test_same_seed_same_plans(name, space, prepared):
    assert run(fresh(name, space, prepared), 15) == run(fresh(name, space, prepared), 15)


def test_state_through_json_goes_on_as_undisturbed(name, space, prepared):
    undisturbed = run(fresh(name, space, prepared), 14)
    broken = fresh(name, space, prepared)
    first = run(broken, 7)
    resumed = make_strategy(name, space, seed=99)
    resumed.load_state_dict(json.loads(json.dumps(broken.state_dict())))
    assert first + run(resumed, 7) == undisturbed


def test_proposals_repeated_from_their_states_leave_the_strategy_as_asking_did(name, space, prepared):
    asked, repeated = fresh(name, space, prepared), fresh(name, space, prepared)
    for _ in range(14):
        plan = asked.ask()
        if plan is None:
            break
        repeated.repeat_proposal(plan, json.loads(json.dumps(asked.proposal_state(plan))))
        for strategy in (asked, repeated):
            strategy.tell(plan, fitness(plan))
        assert repeated.state_dict() == asked.state_dict()


def test_a_failed_plan_is_not_proposed_again_and_the_search_goes_on(name, space, prepared):
    strategy, failed = fresh(name, space, prepared), []
    for number in range(20):
        plan = strategy.ask()
        if plan is None:
            break
        assert plan not in failed
        if number % 2:
            strategy.tell(plan, fitness(plan))
        else:
            strategy.fail(plan)
            failed.append(plan)
    assert failed and strategy.best not in failed


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.95), (-9.0, -0.2), (3.0, 40.0)])  # not all metrics are shares
def test_asking_ahead_of_results(name, task, space, prepared, low, high):
    strategy = fresh(name, space, prepared)
    ahead = [plan for plan in (strategy.ask() for _ in range(6)) if plan is not None]
    assert len({plan.to_yaml() for plan in ahead}) == len(ahead)
    for number in range(len(ahead)):  # whichever is far better than the others: a model may smooth small differences
        strategy = fresh(name, space, prepared)
        assert [strategy.ask() for _ in ahead] == ahead
        for plan in reversed(ahead):
            strategy.tell(plan, {"accuracy": high if plan == ahead[number] else low})
        assert strategy.best == ahead[number]


def test_the_result_of_a_plan_of_another_origin_counts(name, space, prepared):
    strategy = fresh(name, space, prepared)
    foreign = space.plan(space.solve([-row.astype(float) for row in space.costs]))
    strategy.tell(foreign, {"accuracy": 0.5})
    assert strategy.best == foreign
    assert foreign not in run(strategy, 10)


def test_one_that_was_not_prepared_judges_trials(name, space, prepared):
    """As the face does with those of any engine."""
    plans = run(fresh(name, space, prepared), 5)
    judge = make_strategy(name, space)
    for plan in plans:
        judge.tell(plan, fitness(plan))
    assert len(judge.estimates()) == len(plans) and judge.best in plans


def test_a_result_that_is_no_number_is_refused(name, space, prepared):
    strategy = fresh(name, space, prepared)
    with pytest.raises(BankwiseError, match="nan"):
        strategy.tell(strategy.ask(), {"accuracy": math.nan})


def test_the_state_of_another_strategy_or_space_is_refused(name, task, space, prepared):
    state = json.loads(prepared)
    with pytest.raises(BankwiseError, match="is of strategy 'other'"):
        fresh(name, space, prepared).load_state_dict(state | {"strategy": "other"})
    smaller = BudgetedSpace(SearchSpace(task.shape, SpaceSettings(max_k=4)), Budget(1300))
    with pytest.raises(BankwiseError, match="another search space"):
        make_strategy(name, smaller).load_state_dict(state)
    for limits in (Budget(1299), Budget(1300, "paper"), Limits(Budget(1300), max_ops=10**9)):
        with pytest.raises(BankwiseError, match="another search space or budget"):
            make_strategy(name, BudgetedSpace(SearchSpace(task.shape), limits)).load_state_dict(state)
    wider = BudgetedSpace(SearchSpace(task.shape, SpaceSettings(vector_bits=16)), Budget(1300))
    with pytest.raises(BankwiseError, match="vector_bits"):
        make_strategy(name, wider).load_state_dict(state)


def test_paper_accounting_is_obeyed(name, task):
    space = BudgetedSpace(SearchSpace(task.shape), Budget(600, "paper"))
    strategy = make_strategy(name, space)
    strategy.prepare(task)
    for plan in run(strategy, 10):
        assert price(task.shape, plan).paper_bits <= 8 * 600


def test_the_end_of_a_small_space(name, task):
    """Four layers with one choice, one with two: at most two plans, then None."""
    settings = SpaceSettings(hidden=("binary",), first=("binary",), last=("int4", "binary"))
    space = BudgetedSpace(SearchSpace(task.shape, settings), Budget(10**6))
    strategy = make_strategy(name, space)
    strategy.prepare(task)
    plans = run(strategy, 5)
    assert 1 <= len(plans) <= 2
    assert strategy.ask() is None


def test_unknown_strategy_names_the_nearest(space):
    with pytest.raises(BankwiseError, match="unknown strategy 'evolutoin': did you mean evolution"):
        make_strategy("evolutoin", space)
