"""The uniform baseline: which plans it knows, against loops over the settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bankwise.search_space.budget import Budget
from bankwise.search_space.families import Binary, Integer, Stacked, Subbit, Tiled
from bankwise.search_space.networks import build
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of, trace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.uniform import ranked

LAYERS = (
    LayerShape("first", "conv2d", 8, 3, (3, 3), normalized=True),
    LayerShape("body", "conv2d", 16, 8, (3, 3), normalized=True),
    LayerShape("point", "conv2d", 16, 16, (1, 1), normalized=True),
    LayerShape("last", "linear", 10, 16, bias=True),
)
SHAPE = NetworkShape("net", (3, 8, 8), 10, LAYERS, (), (), 0)


def every(hidden: tuple[str, ...], ends: tuple[str, ...], shape: NetworkShape = SHAPE) -> list[tuple]:
    """The choices of all uniform plans, in the order asked."""
    space = BudgetedSpace(SearchSpace(shape, SpaceSettings(hidden, ends, ends)), Budget(10**6))
    strategy, plans = make_strategy("uniform", space), []
    while (plan := strategy.ask()) is not None:
        plans.append(tuple(plan.layers.values()))
    return plans


def test_tiled_has_one_p_cut_to_what_each_layer_takes():
    plans = every(("tiled",), ("int4",))
    assert {plan[1:3] for plan in plans} == {
        (Tiled(p), Tiled(max(q for q in (1, 2, 4) if q <= p))) for p in (1, 2, 3, 4, 6, 8)
    }
    assert {(plan[0], plan[3]) for plan in plans} == {(Integer(4), Integer(4))}


def test_ends_follow_the_setting_or_take_their_other_kind():
    plans = every(("tiled",), ("tiled", "binary"))
    for p in (1, 2, 3, 4, 6, 8):
        mine = {(plan[0], plan[3]) for plan in plans if plan[1] == Tiled(p)}
        heads = {Binary(), Tiled(max(q for q in (1, 2, 3) if q <= p))}
        tails = {Binary(), Tiled(max(q for q in (1, 2) if q <= p))}
        assert mine == {(head, tail) for head in heads for tail in tails}


def test_layers_that_cannot_be_sub_bit_have_one_other_kind():
    layers = (*LAYERS[:3], replace(LAYERS[2], name="second point"), LAYERS[3])
    plans = every(("subbit", "binary", "int8"), ("binary",), replace(SHAPE, layers=layers))
    subbit = [plan for plan in plans if isinstance(plan[1], Subbit)]
    taus = {plan[1].tau for plan in subbit}
    assert taus == set(range(1, 6))
    others = ((Binary(),) * 2, (Integer(8),) * 2)
    assert {plan[1:4] for plan in subbit} == {(Subbit(tau), *pair) for tau in taus for pair in others}


@pytest.mark.parametrize("bits", [4, 8])
def test_integers_everywhere_are_a_uniform_plan(bits):
    plans = every((f"int{bits}", "stacked"), (f"int{bits}", "binary"))
    assert (Integer(bits),) * 4 in plans
    assert any(isinstance(plan[1], Stacked) for plan in plans)


@pytest.mark.parametrize("kind", ["tiled", "subbit", "int4"])
def test_best_first_within_the_budget(kind):
    shape = trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10)
    space = SearchSpace(shape, SpaceSettings((kind,), ("int4",), ("int4",)))
    least = space.prices.fixed_file_bytes + sum(int(row.min()) for row in space.prices.file_bytes)
    found = make_strategy("uniform", BudgetedSpace(space, Budget(least + 600))).ask()
    assert price(shape, found).file_bytes <= least + 600
    if kind != "int4":  # the next setting up does not fit
        name = {"tiled": "p", "subbit": "tau"}[kind]
        hidden = [getattr(choice, name) for choice in list(found.layers.values())[1:-1]]
        strategy = make_strategy("uniform", BudgetedSpace(space, Budget(10**6)))
        dearer = [plan for plan in iter(strategy.ask, None) if price(shape, plan).file_bytes > least + 600]
        assert dearer and all(
            (getattr(plan.layers[shape.layers[1].name], name) < hidden[0]) == (kind == "tiled") for plan in dearer
        )


def test_a_uniform_plan_stores_vectors_alike_in_all_layers():
    shape = shape_of("tiny", (1, 8, 8), 10)
    kinds = ("stacked", "binary", "int4")
    space = BudgetedSpace(SearchSpace(shape, SpaceSettings(kinds, kinds, kinds, vectors=("v8", "s4"))), Budget(10**6))
    plain = BudgetedSpace(SearchSpace(shape, SpaceSettings(kinds, kinds, kinds)), Budget(10**6))
    found = [[space.choices(i)[j] for i, j in enumerate(plan)] for plan in ranked(space)]
    assert {frozenset(choice.vectors for choice in plan) for plan in found} == {frozenset({None}), frozenset({"s4"})}
    alone = {tuple(plain.choices(i)[j] for i, j in enumerate(plan)) for plan in ranked(plain)}
    for way in (None, "s4"):
        assert {tuple(choice.bare for choice in plan) for plan in found if plan[0].vectors == way} == alone
