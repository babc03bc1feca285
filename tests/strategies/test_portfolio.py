"""The plans that are tried first: exact optima of what they say, preferring a part as far as the budget lets them."""

from __future__ import annotations

import numpy as np
import pytest

from bankwise.search_space.budget import Budget
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.evolution import FOUNDERS
from bankwise.strategies.portfolio import PREFERENCE, families, portfolio
from bankwise.strategies.scores import log_capture, total, weighted, weighted_capture

HIDDEN = ("stacked", "sparse", "composite", "binary", "int4")
FAMILIES = ("stacked", "sparse", "composite", "binary", "integer")


def make(task, budget: int, hidden: tuple[str, ...] = HIDDEN) -> BudgetedSpace:
    return BudgetedSpace(SearchSpace(task.shape, SpaceSettings(hidden=hidden)), Budget(budget))


def taken(space: BudgetedSpace, plan) -> list[str]:
    """Families of the hidden layers."""
    return [str(row[i]) for row, i in zip(families(space), plan, strict=True)][1:-1]


@pytest.mark.parametrize("budget", [900, 1500, 2500, 6000])
def test_the_closed_form_comes_first_then_the_best_uniform_plan_and_the_preferring_ones_by_score(task, budget):
    space = make(task, budget)
    plans = portfolio(space)
    assert all(space.fits(plan) for plan in plans) and len({tuple(plan) for plan in plans}) == len(plans)
    assert tuple(plans[1]) == tuple(space.indices(make_strategy("uniform", space).ask()))
    found = [total(weighted_capture(space), plan) for plan in plans]
    assert found[2:-1] == sorted(found[2:-1], reverse=True) and max(found) == found[0]
    scores = log_capture(space)
    equal = [total(scores, plan) for plan in plans]
    rng = np.random.default_rng(0)
    assert all(total(scores, space.sample(rng)) <= max(equal) for _ in range(200))


def test_where_bytes_are_many_every_family_has_a_plan_of_its_own(task):
    space = make(task, 40_000)
    alone = {found[0] for plan in portfolio(space) if len(set(found := taken(space, plan))) == 1}
    assert alone == set(FAMILIES)


@pytest.mark.parametrize("budget", [900, 2500])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_plan_that_prefers_a_family_is_among_them(task, budget, family):
    """That plan against every other one of the portfolio and 200 random plans, by the sum that it maximizes."""
    space = make(task, budget)
    rows = families(space)
    preferred = [
        row - PREFERENCE * (names != family) * (0 < i < len(rows) - 1)
        for i, (row, names) in enumerate(zip(log_capture(space), rows, strict=True))
    ]
    importances = np.log([w[0] / row[0] for w, row in zip(weighted_capture(space), log_capture(space), strict=True)])
    preferred = weighted(preferred, importances)
    rng = np.random.default_rng(0)
    plans = portfolio(space)
    best = max(total(preferred, plan) for plan in plans)
    assert all(total(preferred, space.sample(rng)) <= best + 1e-9 for _ in range(200))
    most = max(taken(space, plan).count(family) for plan in plans)
    assert most >= taken(space, plans[0]).count(family)


def test_plans_take_whole_kernels_and_split_ones(task):
    space = make(task, 2500, ("stacked",))
    whole = [
        all(space.choices(i)[j].tile == space.space.shape.layers[i].kernel for i, j in list(enumerate(plan))[1:-1])
        for plan in portfolio(space)
    ]
    split = [
        all(space.choices(i)[j].tile != space.space.shape.layers[i].kernel for i, j in list(enumerate(plan))[1:-1])
        for plan in portfolio(space)
    ]
    assert any(whole) and any(split)


def test_where_there_is_one_choice_of_kind_there_is_nothing_to_prefer(task):
    assert len(portfolio(make(task, 6000, ("binary",)))) <= 2


def test_evolution_tries_them_first_and_then_steps_within_families_and_between(task):
    space = make(task, 2500)
    strategy = make_strategy("evolution", space, seed=1)
    plans = []
    for _ in range(40):
        plan = strategy.ask()
        plans.append(tuple(int(i) for i in space.indices(plan)))
        strategy.tell(plan, {"accuracy": taken(space, plans[-1]).count("stacked") / 10})
    first = [tuple(int(i) for i in plan) for plan in portfolio(space)][:FOUNDERS]
    assert plans[: len(first)] == first
    counts = [taken(space, plan).count("stacked") for plan in plans]
    hidden = len(space.sizes) - 2
    assert max(counts) == hidden, "it moves on to the family that is worth most"
    assert np.mean(counts[-10:]) > np.mean(counts[:6])
