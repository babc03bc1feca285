from __future__ import annotations

import itertools

import numpy as np

from bankwise.search_space.budget import Budget
from bankwise.search_space.limits import Limits
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace, SpaceSettings
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.frontier import LEAST, cut_to_frontier, frontier, scatter
from bankwise.strategies.portfolio import families
from bankwise.strategies.scores import log_capture


def test_frontier_is_what_no_choice_beats(space):
    scores = log_capture(space)
    for costs, row, kept in zip(space.costs, scores, frontier(space, scores), strict=True):
        beaten = [
            i for i in range(len(row))
            if any(costs[j] <= costs[i] and row[j] >= row[i] and (costs[j], row[j]) != (costs[i], row[i])
                   for j in range(len(row)))
        ]  # fmt: skip
        assert not set(kept) & set(beaten)
        pairs = {(int(costs[i]), float(row[i])) for i in range(len(row)) if i not in beaten}
        assert {(int(costs[i]), float(row[i])) for i in kept} == pairs


def test_groups_are_compared_apart(space):
    scores = log_capture(space)
    groups = families(space)
    for costs, row, names, kept in zip(space.costs, scores, groups, frontier(space, scores, apart=groups), strict=True):
        for i in range(len(row)):
            rivals = [j for j in range(len(row)) if names[j] == names[i] and j != i]
            beaten = any(
                costs[j] <= costs[i] and row[j] >= row[i] and (costs[j], row[j]) != (costs[i], row[i]) for j in rivals
            )
            twin = any((costs[j], row[j]) == (costs[i], row[i]) and j in kept for j in rivals)
            assert (i in kept) == (not beaten and not twin)
        assert (np.diff(costs[kept]) >= 0).all()


def test_a_cut_frontier_keeps_both_ends(space):
    scores = log_capture(space)
    whole, cut = frontier(space, scores), frontier(space, scores, 5)
    for full, part in zip(whole, cut, strict=True):
        assert len(part) == min(5, len(full)) and set(part) <= set(full)
        assert part[0] == full[0] and part[-1] == full[-1]


def test_scatter():
    (row,) = scatter((4,), [np.array([1, 3])], [np.array([0.5, 0.25])])
    assert row.tolist() == [LEAST, 0.5, LEAST, 0.25]


def test_the_cut_space_is_a_part_with_the_best_plan_in_it(task, space):
    small = cut_to_frontier(space, 5)
    assert max(small.sizes) <= 6
    for layer in range(len(small.sizes)):
        assert set(small.choices(layer)) <= set(space.choices(layer))
    best = space.plan(space.solve(log_capture(space)))
    assert small.plan(small.indices(best)) == best
    assert small.capacity == space.capacity
    for indices in itertools.islice(itertools.product(*map(range, small.sizes)), 50):
        assert small.cost(indices) == price(task.shape, small.plan(indices)).file_bytes
        assert space.cost(space.indices(small.plan(indices))) == small.cost(indices)


def test_the_cut_space_keeps_every_limit(task):
    whole = SearchSpace(task.shape, SpaceSettings(max_k=16))
    free = BudgetedSpace(whole, Budget(1500))
    least = sum(int(row.min()) for row in free.operations)
    limited = BudgetedSpace(
        whole, Limits(Budget(1500), max_ops=least + least // 50)
    )  # what is cheapest in bytes is too slow
    small = cut_to_frontier(limited, 2)
    assert small.max_ops == limited.max_ops
    assert small.fits(small.solve([np.zeros(size) for size in small.sizes]))
    ram = max(task.shape.peak_live_bytes, *(int(row.min()) for row in whole.prices.merge_peak_bytes))
    small = cut_to_frontier(BudgetedSpace(whole, Limits(Budget(1500), max_ram=ram)), 3)
    plan = small.plan([-1] * len(small.sizes))
    assert all(layer.merge_peak_bytes <= ram for layer in price(task.shape, plan).layers)
