"""Samples, plans and indices are one thing in three forms; the cut space keeps what is efficient."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space.budget import Budget
from search_space.errors import BankwiseError
from search_space.price import price
from search_space.space import SearchSpace, SpaceSettings
from strategies import BudgetedSpace
from strategies.nni.nas.samples import codes_of, cut, project, to_indices, to_plan, to_sample
from strategies.scores import log_capture


def test_there_and_back(task, space):
    rng = np.random.default_rng(0)
    for _ in range(20):
        indices = [int(rng.integers(size)) for size in space.sizes]
        sample = to_sample(space, indices)
        assert list(sample) == list(space.space.names)
        assert to_indices(space, sample).tolist() == indices
        plan = to_plan(space, sample)
        assert plan == space.plan(indices)
        assert {name: choice.code() for name, choice in plan.layers.items()} == sample


def test_other_labels_are_kept(space):
    sample = to_sample(space, space.project([0] * len(space.sizes))) | {"lr": 0.1}
    assert project(space, sample) == sample
    dearest = to_sample(space, [int(row.argmax()) for row in space.costs]) | {"lr": 0.1}
    mended = project(space, dearest)
    assert mended["lr"] == 0.1
    assert not space.fits(to_indices(space, dearest)) and space.fits(to_indices(space, mended))


@given(layers=st.integers(2, 4), share=st.floats(0, 1), data=st.data())
def test_the_projection_is_the_nearest_plan_that_fits(tiny_space, layers, share, data):
    """Nearest: the least sum of differences in bytes, and half a byte for another choice of the same size."""
    space = tiny_space(layers, share)
    wish = tuple(data.draw(st.integers(0, size - 1)) for size in space.sizes)
    found = to_indices(space, project(space, to_sample(space, wish)))
    assert space.cost(found) <= space.budget.bytes
    if space.fits(wish):
        assert tuple(found) == wish

    def distance(indices) -> float:
        pairs = zip(space.costs, wish, indices, strict=True)
        return sum(abs(int(row[i] - row[j])) or 0.5 * (i != j) for row, i, j in pairs)

    plans = itertools.product(*map(range, space.sizes))
    assert distance(found) == min(distance(plan) for plan in plans if space.fits(plan))


def test_a_wrong_sample_is_one_clear_line(space):
    sample = to_sample(space, [0] * len(space.sizes))
    with pytest.raises(BankwiseError, match="no choice for layer '1.0'"):
        to_indices(space, {name: code for name, code in sample.items() if name != "1.0"})
    with pytest.raises(BankwiseError, match="choice of layer '1.0' 'S3.1.3x3': did you mean"):
        to_indices(space, sample | {"1.0": "S3.1.3x3"})


def test_the_cut_space_is_a_part_with_the_best_plan_in_it(task, space):
    small = cut(space, 5)
    assert max(small.sizes) <= 6
    for name, codes in codes_of(small).items():
        assert set(codes) <= set(codes_of(space)[name])
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
    limited = BudgetedSpace(whole, Budget(1500), max_ops=least + least // 50)  # what is cheapest in bytes is too slow
    small = cut(limited, 2)
    assert small.max_ops == limited.max_ops
    assert small.fits(small.solve([np.zeros(size) for size in small.sizes]))
    ram = int(max(row.min() for row in whole.prices.merge_peak_bytes))
    small = cut(BudgetedSpace(whole, Budget(1500), max_ram=ram), 3)
    plan = small.plan([-1] * len(small.sizes))
    assert all(layer.merge_peak_bytes <= ram for layer in price(task.shape, plan).layers)
