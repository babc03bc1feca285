"""The closed form's answers against all plans of a small space."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from bankwise.inputs import inputs_of, traced
from bankwise.plan_report import choice_dict, choice_prices
from bankwise.planning import MORE, plan, price_plan, solve
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.limits import Limits
from bankwise.search_space.networks import build
from bankwise.search_space.price import price
from bankwise.search_space.settings import VECTORS_USUAL, SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import trace
from bankwise.strategies.learned import LEARNED
from bankwise.trainers.data import load_data


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    kinds = ("binary", "int2", "int8", "float16")
    return SearchSpace(traced("tiny", "digits", None, None, None, ()), SpaceSettings(kinds, kinds, kinds))


def everything(space: SearchSpace) -> list[tuple[int, int, float]]:
    """File bytes, paper bits and mean capture of every plan, the layers by their importance."""
    found, layers, last = [], space.shape.layers, len(space.shape.layers) - 1
    weights = [
        layer.weights**LEARNED.weights
        * layer.positions**LEARNED.positions
        * math.exp(LEARNED.depth * i / last + LEARNED.first * (i == 0) + LEARNED.last * (i == last))
        for i, layer in enumerate(layers)
    ]
    for indices in itertools.product(*map(range, space.sizes)):
        one = space.plan(indices)
        cost = price(space.shape, one)
        choices = [one.layers[layer.name] for layer in layers]  # none has a bank, none splits a kernel
        logs = [
            math.log(choice.capture(layer)) + LEARNED.families.get(choice.family, 0)
            for layer, choice in zip(layers, choices, strict=True)
        ]
        found.append((cost.file_bytes, cost.paper_bits, math.exp(np.average(logs, weights=weights))))
    return found


@pytest.mark.parametrize("accounting", ["file", "paper"])
def test_range_best_and_shadow_prices_are_those_of_all_plans(space, accounting):
    plans = everything(space)
    size = (lambda plan: plan[0]) if accounting == "file" else (lambda plan: -(-plan[1] // 8))
    sizes = [size(plan) for plan in plans]

    def best(budget: int) -> float:
        return max(plan[2] for plan in plans if size(plan) <= budget)

    free = plan(space, accounting=accounting)
    assert (free.smallest.budget_bytes, free.largest.budget_bytes) == (min(sizes), max(sizes))
    assert free.plan is free.price is free.capture is free.uniform is free.shadow_prices is None
    staircase = free.staircase
    assert staircase.capture == pytest.approx([best(budget) for budget in staircase.budget_bytes.tolist()])
    assert (np.diff(staircase.budget_bytes) > 0).all() and staircase.budget_bytes.dtype == np.int64
    assert [price(space.shape, one).file_bytes for one in staircase.plans] == staircase.file_bytes.tolist()
    assert [price(space.shape, one).paper_bits for one in staircase.plans] == staircase.paper_bits.tolist()
    assert staircase.capture[-1] == pytest.approx(best(max(sizes))) and staircase.budget_bytes[0] == min(sizes)
    for budget in sorted(sizes)[:: len(sizes) // 7]:
        report = plan(space, Budget(budget, accounting))
        assert report.capture == pytest.approx(best(budget))
        assert report.plan == solve(space, Budget(budget, accounting))
        assert report.price == price(space.shape, report.plan)
        more = report.shadow_prices
        assert 1 + more.gain == pytest.approx(best(budget + MORE) / best(budget))
        assert all(gain >= 0 for gain in more.layers.values())
        assert report.staircase.to_dict() == staircase.to_dict()
    for call in (plan, solve):
        with pytest.raises(InfeasibleBudget):
            call(space, Budget(min(sizes) - 1, accounting))


def test_operations_are_limited_in_the_whole_report(space):
    def operations(one) -> int:
        totals = price(space.shape, one).totals("merge")
        return totals.additions + totals.multiplications

    spread = sorted(operations(space.plan(indices)) for indices in itertools.product(*map(range, space.sizes)))
    limit, budget = spread[len(spread) // 4], plan(space).largest.budget_bytes
    report = plan(space, Limits(Budget(budget), max_ops=limit))
    assert all(operations(one) <= limit for one in (report.plan, *report.staircase.plans))
    assert report.shadow_prices.layers == {} and report.plan == solve(space, budget, max_ops=limit)
    with pytest.raises(InfeasibleBudget, match="max-ops"):
        plan(space, max_ops=spread[0] - 1)


@pytest.mark.parametrize(("network", "kind"), [("tiny", "int8"), ("resnet8", "binary")])
def test_a_staircase_of_one_step(network, kind):
    """The smallest plan is the best one; its bytes are one that a logarithm and back makes fewer by one."""
    kinds = SpaceSettings((kind,), (kind,), (kind,), vectors=("v8",))
    report = plan(network, "20MB", space=kinds)
    least = report.smallest.budget_bytes
    assert report.staircase.budget_bytes.tolist() == [least] and report.largest.budget_bytes == least


def test_the_uniform_plan_of_the_budget(space):
    report = plan(space, plan(space).smallest.budget_bytes + 5000)
    assert report.uniform.capture <= report.capture
    middle = [report.uniform.plan.layers[name] for name in space.names[1:-1]]
    assert len(set(middle)) == 1


def test_a_network_is_a_reference_a_module_a_shape_or_a_space():
    module = build("tiny", classes=10, in_channels=1)
    named = plan("tiny", "2KiB")
    shape = trace(module, "tiny", (1, 8, 8), 10)
    for network in (shape, SearchSpace(shape, SpaceSettings(vectors=VECTORS_USUAL))):
        assert plan(network, Limits(Budget(2048))).to_dict() == named.to_dict() | {"budget": "2048"}
    longer = len("in-memory") - len("tiny")  # the file names the network
    given = plan(module, 2048 + longer, input_shape=(1, 8, 8), classes=10)
    assert given.plan.network == "in-memory"
    assert given.plan.layers == named.plan.layers and given.capture == named.capture
    with pytest.raises(BankwiseError, match="input_shape and classes"):
        plan(module, "2KiB")
    for wrong, words in (
        ({"network": nn.Linear}, "Linear'>: expected a name, an nn.Module, .*; give what it makes"),
        ({"network": lambda: module}, "lambda.*: expected a name, an nn.Module, .*; give what it makes"),
        ({"network": 5}, "network 5: expected a name, an nn.Module"),
        ({"network": module, "input_shape": (1, 8), "classes": 10}, r"input_shape: \(1, 8\) is not a list of 3 values"),
        ({"network": module, "input_shape": (1, 8, 8), "classes": 2.5}, "classes: 2.5 is not a whole number"),
        ({"network": "tiny", "space": {"hidden": ["binary"]}}, "space: .* is not a SpaceSettings"),
    ):
        with pytest.raises(BankwiseError, match=words):
            plan(budget="2KiB", **wrong)
    kinds = SpaceSettings(("binary",), ("int8",), ("int8",))
    assert (
        plan("tiny", "9KiB", space=kinds).largest.budget_bytes
        == plan(SearchSpace(shape, replace(kinds, vectors=VECTORS_USUAL))).largest.budget_bytes
    )


def test_a_given_plan_is_priced_and_refused_over_the_budget(space):
    one = solve(space, "6KiB")
    report = price_plan(space.shape, one)
    assert report.price == price(space.shape, one) and report.staircase is report.budget is None
    size = report.price.file_bytes
    assert price_plan(space.shape, one, Budget(size), "text").to_dict()["budget"] == "text"
    with pytest.raises(InfeasibleBudget, match=f"takes {size:,} bytes, over the budget of {size - 1:,} bytes"):
        price_plan(space.shape, one, Budget(size - 1))
    bits = report.price.paper_bits
    price_plan(space.shape, one, Budget(-(-bits // 8), "paper"))
    with pytest.raises(InfeasibleBudget):
        price_plan(space.shape, one, Budget((bits - 1) // 8, "paper"))


def test_choices_of_a_layer_by_rising_bytes(space):
    rows = choice_prices(space, space.names[1])
    assert [row.file_bytes for row in rows] == sorted(row.file_bytes for row in rows)
    assert {row.choice for row in rows} == set(space.choices[1])
    assert json.loads(json.dumps(choice_dict(rows[0])))["file_bytes"] == rows[0].file_bytes
    with pytest.raises(BankwiseError, match="unknown layer"):
        choice_prices(space, "nothing")


def test_the_data_sets_known_by_name_are_what_they_hold(data_root):
    for name in ("digits", "cifar10", "fashion-mnist"):
        data = load_data(name, root=data_root, limit=100)
        assert inputs_of(name) == (data.input_shape, data.classes)


def test_arguments_that_contradict_are_refused():
    shape = plan("tiny").shape
    for given, words in (
        (dict(budget=Limits(Budget(900)), max_ram=10), "max_ram and max_ops are those of the Limits"),
        (dict(budget=Budget(900), accounting="paper"), "accounting 'paper': the budget is one of 'file'"),
        (dict(budget=900, input_shape=(3, 32, 32)), "was traced with its own"),
        (dict(budget=900, classes=5), "was traced with its own"),
    ):
        with pytest.raises(BankwiseError, match=words):
            plan(shape, **given)
    with pytest.raises(BankwiseError, match="is a SearchSpace, which says"):
        plan(SearchSpace(shape), 900, space=SpaceSettings())
    with pytest.raises(BankwiseError, match="one of 'file'"):
        solve(shape, Budget(900), accounting="paper")
