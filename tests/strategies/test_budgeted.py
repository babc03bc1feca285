from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import relu

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.limits import Limits
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import trace
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.scores import log_capture


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
    space = BudgetedSpace(whole, Limits(Budget(1500), max_ram=limit))
    rng = np.random.default_rng(0)
    for _ in range(30):
        cost = price(task.shape, space.plan(space.sample(rng)))
        assert all(layer.merge_peak_bytes <= limit for layer in cost.layers)
    with pytest.raises(InfeasibleBudget, match="max-ram of 10 bytes"):
        BudgetedSpace(whole, Limits(Budget(1500), max_ram=10))


class Blocks(nn.Module):
    """A residual, a concatenation and activations in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        shortcut = relu(self.first(x), inplace=True)
        y = relu(self.second(shortcut) + shortcut, inplace=True)
        return self.head(self.third(torch.cat([y, shortcut], 1)).mean((2, 3)))


def test_the_peak_of_every_plan_keeps_max_ram_and_none_that_does_is_lost():
    """All plans of a small space, at every limit that matters, by brute force."""
    shape = trace(Blocks(), "blocks", (2, 6, 6), 3)
    maps = 4 * 6 * 6 * 4  # bytes of one map of 4 channels
    # The first activation stays alive from the convolution on: with the sum and the concatenation of both.
    assert shape.peak_live_bytes == maps + maps + 2 * maps
    assert shape.layer("second").live_bytes == 2 * maps and shape.layer("first").live_bytes == maps + maps // 2
    whole = SearchSpace(shape, SpaceSettings(max_k=8, first=("stacked", "binary"), last=("binary",)))
    plans = list(itertools.product(*map(range, whole.sizes)))
    assert 100 < len(plans) < 20_000
    costs = [price(shape, whole.plan(plan)) for plan in plans]
    peaks = [max(cost.totals("merge").peak_bytes, cost.totals("materialized").peak_bytes) for cost in costs]
    assert len(set(peaks)) > 3 and min(peaks) == shape.peak_live_bytes
    for limit in sorted({*peaks, min(peaks) - 1}):
        if limit < min(peaks):
            with pytest.raises(InfeasibleBudget, match=f"max-ram of {limit:,} bytes cannot be met"):
                BudgetedSpace(whole, Limits(Budget(10**6), max_ram=limit))
            continue
        space = BudgetedSpace(whole, Limits(Budget(10**6), max_ram=limit))
        allowed = set(itertools.product(*(row.tolist() for row in space.allowed)))
        assert allowed == {plan for plan, peak in zip(plans, peaks, strict=True) if peak <= limit}


def test_the_error_names_the_limit_that_failed(task):
    ram = 10**4  # the maps that stay take all of it: no bank's maps beside them
    layers = tuple(dataclasses.replace(layer, live_bytes=ram) for layer in task.shape.layers)
    whole = SearchSpace(dataclasses.replace(task.shape, layers=layers, peak_live_bytes=ram))
    free = BudgetedSpace(whole, Limits(Budget(10**6)))
    under_ram = BudgetedSpace(whole, Limits(Budget(10**6), max_ram=ram))
    least, more = (one.cost([int(row.argmin()) for row in one.costs]) for one in (free, under_ram))
    assert least < more
    with pytest.raises(InfeasibleBudget, match=rf"^budget of {least:,} .* under max-ram of {ram:,} .*{more:,} b"):
        BudgetedSpace(whole, Limits(Budget(least), max_ram=ram))
    operations = [int(row.min()) for row in free.operations]
    with pytest.raises(InfeasibleBudget, match="only each alone: within the budget a plan needs at least") as caught:
        BudgetedSpace(whole, Limits(Budget(least), max_ops=sum(operations)))
    needed = int(str(caught.value).split("at least ")[1].split(" ")[0].replace(",", ""))
    assert BudgetedSpace(whole, Limits(Budget(least), max_ops=needed)).solve(log_capture(free)) is not None
    with pytest.raises(InfeasibleBudget):
        BudgetedSpace(whole, Limits(Budget(least), max_ops=needed - 1))


def test_the_rest_of_the_network_counts_too(task):
    """Work outside the layers, unknown work, and a peak between the layers."""
    whole = SearchSpace(task.shape)
    least = sum(int((a + m).min()) for a, m in zip(whole.prices.additions, whole.prices.multiplications, strict=True))
    for work, limit in ((0, 2 * least), (500, 2 * least + 1000)):
        shape = dataclasses.replace(task.shape, other_work=work)
        space = BudgetedSpace(SearchSpace(shape), Limits(Budget(1500), max_ops=limit))
        plan = space.plan(space.solve(log_capture(space)))
        totals = price(shape, plan).totals("merge")
        assert totals.multiplications + totals.additions <= limit and space.layer_ops == 2 * least
    with pytest.raises(InfeasibleBudget, match=rf"at least {least + 1000:,} operations an image \(of which .* 1,000\)"):
        BudgetedSpace(SearchSpace(shape), Limits(Budget(1500), max_ops=least + 999))
    unknown = dataclasses.replace(task.shape, uncounted=("mkldnn_rnn_layer",))
    with pytest.raises(BankwiseError, match="max-ops: network 'tiny' runs mkldnn_rnn_layer, whose operations"):
        BudgetedSpace(SearchSpace(unknown), Limits(Budget(1500), max_ops=10**9))
    peak = dataclasses.replace(task.shape, peak_live_bytes=10**6)
    with pytest.raises(InfeasibleBudget, match=r"max-ram of 999,999 bytes cannot be met: .*at least 1,000,000$"):
        BudgetedSpace(SearchSpace(peak), Limits(Budget(1500), max_ram=10**6 - 1))


def test_max_ops_is_hard_beside_the_bytes(task):
    whole = SearchSpace(task.shape)
    least = sum(int((a + m).min()) for a, m in zip(whole.prices.additions, whole.prices.multiplications, strict=True))
    space = BudgetedSpace(whole, Limits(Budget(1500), max_ops=2 * least))
    rng = np.random.default_rng(0)
    plans = [space.solve(log_capture(space)), *(space.sample(rng) for _ in range(20))]
    for indices in plans:
        cost = price(task.shape, space.plan(indices))
        totals = cost.totals("merge")
        assert cost.file_bytes <= 1500
        assert totals.additions + totals.multiplications <= 2 * least
    with pytest.raises(InfeasibleBudget, match="max-ops"):
        BudgetedSpace(whole, Limits(Budget(1500), max_ops=least - 1))


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


def test_the_identity_is_json_and_differs_with_limits_and_choices(task):
    whole = SearchSpace(task.shape)
    spaces = [
        BudgetedSpace(whole, Budget(1500)),
        BudgetedSpace(whole, Budget(1501)),
        BudgetedSpace(whole, Budget(1500, "paper")),
        BudgetedSpace(whole, Limits(Budget(1500), max_ops=10**9)),
        BudgetedSpace(whole, Limits(Budget(1500), max_ram=10**9)),
        BudgetedSpace(whole.cut([range(size - 1) for size in whole.sizes]), Budget(1500)),
        BudgetedSpace(whole.cut([range(1, size) for size in whole.sizes]), Budget(1500)),
    ]
    texts = [json.dumps(space.identity) for space in spaces]
    assert len(set(texts)) == len(spaces)
    assert json.dumps(BudgetedSpace(SearchSpace(task.shape), Budget(1500)).identity) == texts[0]
