"""What every strategy must do, whatever it does."""

from __future__ import annotations

import json
import math
import zlib

import pytest

from search_space.budget import Budget
from search_space.errors import BankwiseError
from search_space.price import price
from search_space.space import SearchSpace, SpaceSettings
from strategies import STRATEGIES, BudgetedSpace, make_strategy


def fitness(plan) -> dict:
    """A made-up accuracy in [0, 1) that depends on the plan alone."""
    return {"accuracy": zlib.crc32(plan.to_yaml().encode()) / 2**32}


@pytest.fixture(scope="module", params=sorted(STRATEGIES))
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


def test_asking_ahead_of_results(name, task, space, prepared):
    strategy = fresh(name, space, prepared)
    ahead = [plan for plan in (strategy.ask() for _ in range(6)) if plan is not None]
    assert len({plan.to_yaml() for plan in ahead}) == len(ahead)
    for plan in reversed(ahead):
        strategy.tell(plan, fitness(plan))
    assert strategy.best == max(ahead, key=lambda plan: fitness(plan)["accuracy"])


def test_a_plan_of_another_origin_may_be_told(name, space, prepared):
    strategy = fresh(name, space, prepared)
    foreign = space.plan(space.solve([-row.astype(float) for row in space.costs]))
    strategy.tell(foreign, {"accuracy": 0.5})
    assert strategy.best == foreign
    assert foreign not in run(strategy, 10)


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
