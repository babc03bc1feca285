from __future__ import annotations

import numpy as np
import pytest

from search_space.budget import Budget
from search_space.errors import BankwiseError, InfeasibleBudget
from search_space.price import price
from search_space.space import SearchSpace
from strategies import BudgetedSpace
from strategies.scores import log_capture


def test_cost_is_the_price(task, space):
    rng = np.random.default_rng(0)
    for _ in range(50):
        indices = space.sample(rng)
        assert space.cost(indices) == price(task.shape, space.plan(indices)).file_bytes <= 1300
        assert (space.indices(space.plan(indices)) == indices).all()


def test_an_impossible_budget_names_need_gift_and_largest_layers(task):
    space = SearchSpace(task.shape)
    least = min_bytes(space)
    with pytest.raises(InfeasibleBudget) as caught:
        BudgetedSpace(space, Budget(least - 1))
    text = str(caught.value)
    assert f"{least:,} bytes" in text and f"{least - 1:,} bytes" in text
    largest = max(task.shape.layers, key=lambda layer: min(space.prices.file_bytes[space.names.index(layer.name)]))
    assert f"{largest.name} " in text.split("largest layers need")[1]
    assert BudgetedSpace(space, Budget(least)).solve(log_capture(BudgetedSpace(space, Budget(least)))) is not None


def min_bytes(space: SearchSpace) -> int:
    return space.prices.fixed_file_bytes + sum(int(row.min()) for row in space.prices.file_bytes)


def test_max_ram_cuts_each_layer(task):
    whole = SearchSpace(task.shape)
    limit = int(np.median(np.concatenate(whole.prices.merge_peak_bytes)))
    limit = max(limit, max(int(row.min()) for row in whole.prices.merge_peak_bytes))
    space = BudgetedSpace(whole, Budget(1500), max_ram=limit)
    rng = np.random.default_rng(0)
    for _ in range(30):
        cost = price(task.shape, space.plan(space.sample(rng)))
        assert all(layer.merge_peak_bytes <= limit for layer in cost.layers)
    with pytest.raises(InfeasibleBudget, match="max-ram of 10 bytes"):
        BudgetedSpace(whole, Budget(1500), max_ram=10)


def test_max_ops_is_hard_beside_the_bytes(task):
    whole = SearchSpace(task.shape)
    least = sum(int((a + m).min()) for a, m in zip(whole.prices.additions, whole.prices.multiplications, strict=True))
    space = BudgetedSpace(whole, Budget(1500), max_ops=2 * least)
    rng = np.random.default_rng(0)
    plans = [space.solve(log_capture(space)), *(space.sample(rng) for _ in range(20))]
    for indices in plans:
        cost = price(task.shape, space.plan(indices))
        totals = cost.totals("merge")
        assert cost.file_bytes <= 1500
        assert totals.additions + totals.multiplications <= 2 * least
    with pytest.raises(InfeasibleBudget, match="max-ops"):
        BudgetedSpace(whole, Budget(1500), max_ops=least - 1)


def test_projection_keeps_what_fits_and_mends_what_does_not(space):
    dearest = np.array([int(row.argmax()) for row in space.costs])
    assert not space.fits(dearest)
    mended = space.project(dearest)
    assert space.fits(mended)
    assert (space.project(mended) == mended).all()


def test_a_choice_outside_the_space_is_refused(task, space):
    plan = space.plan(space.project([0] * len(space.sizes)))
    layers = dict(plan.layers)
    layers[space.space.names[0]] = next(iter(space.choices(1)))
    with pytest.raises(BankwiseError, match=f"layer '{space.space.names[0]}'"):
        space.indices(space.space.make_plan(layers))
