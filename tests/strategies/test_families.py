"""One space over all families: nothing that searches, trains, prices or stores asks which family a layer takes."""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bankwise.report import words
from bankwise.search_space.budget import Budget
from bankwise.search_space.families import FAMILIES, Binary, Choice, Composite, Sparse, Stacked, import_family
from bankwise.search_space.layer import build_child
from bankwise.search_space.packing import assemble, pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.supernet import Supernet
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.strategies import BudgetedSpace, make_strategy, strategy_names
from bankwise.trainers.data import to_input

TESTED = (*FAMILIES, *map(import_family, os.environ.get("BANKWISE_FAMILY", "").split()))
HIDDEN = tuple(family.reference() or family.kinds[-1] for family in TESTED)
BUDGET = 2500


@pytest.fixture(scope="module")
def space(task) -> BudgetedSpace:
    return BudgetedSpace(SearchSpace(task.shape, SpaceSettings(hidden=HIDDEN)), Budget(BUDGET))


def test_the_space_offers_every_family(space):
    for i in range(1, len(space.space.choices) - 1):
        assert {type(choice) for choice in space.space.choices[i]} == set(TESTED)


@pytest.mark.parametrize("family", TESTED)
def test_the_solver_takes_the_family_that_scores_best_and_keeps_the_budget(space, family):
    """Scores of capture, raised for one family: every hidden layer then takes it, where it can be afforded."""
    rows = zip(space.space.shape.layers, space.space.choices, strict=True)
    scores = [
        np.array([choice.capture(layer) + 10 * isinstance(choice, family) for choice in row]) for layer, row in rows
    ]
    taken = []
    for budget in (BUDGET, 30_000, 200_000):
        made = BudgetedSpace(space.space, Budget(budget))
        plan = made.plan(made.solve(scores))
        assert price(space.space.shape, plan).file_bytes <= budget
        taken.append([isinstance(plan.layers[name], family) for name in space.space.names[1:-1]])
    assert sum(taken[0]) <= sum(taken[1]) and any(taken[1]) and all(taken[2])


@pytest.mark.parametrize("name", sorted(strategy_names()))
def test_every_strategy_proposes_plans_of_it(task, space, name):
    strategy = make_strategy(name, space, seed=1)
    strategy.prepare(task)
    plans = []
    for accuracy in (0.2, 0.5, 0.4, 0.6):
        plan = strategy.ask()
        if plan is not None:
            plans.append(plan)
            strategy.tell(plan, {"accuracy": accuracy})
    assert plans and all(price(task.shape, plan).file_bytes <= BUDGET for plan in plans)
    assert all(Plan.from_dict(plan.to_dict()) == plan for plan in plans)


def one_of_each(space: BudgetedSpace) -> dict[str, tuple[Choice, ...]]:
    """Of every layer the cheapest and the dearest choice of each family."""
    found = {}
    for layer, row in zip(space.space.shape.layers, space.space.choices, strict=True):
        by_family: dict[type, list[Choice]] = {}
        for choice in sorted(row, key=lambda choice, layer=layer: sum(p.total_bits for p in choice.parts(layer))):
            by_family.setdefault(type(choice), []).append(choice)
        found[layer.name] = tuple(dict.fromkeys(of[i] for of in by_family.values() for i in (0, -1)))
    return found


def test_a_step_of_the_supernet_moves_every_family(task, space):
    rows = list(one_of_each(space).values())
    sizes = [np.full(len(row), 100) for row in rows]
    supernet = Supernet(task.network, task.shape, rows, sizes, 100 * len(rows), seed=0)
    supernet.start_from(task.teacher)
    x, y = to_input(task.data.train_x[:32]), task.data.train_y[:32]
    before = [parameter.clone() for parameter in supernet.parameters()]
    optimizer = torch.optim.SGD(supernet.parameters(), 0.1)
    loss = F.cross_entropy(supernet(x), y)
    loss.backward()
    for i, row in enumerate(rows):
        gradient = supernet.logits.grad[i, : len(row)]
        assert torch.isfinite(gradient).all() and (gradient != 0).all(), task.shape.layers[i].name
    optimizer.step()
    assert torch.isfinite(F.cross_entropy(supernet(x), y)) and loss.item() < 5
    assert all(not torch.equal(a, b) for a, b in zip(before, supernet.parameters(), strict=True) if a.requires_grad)


@pytest.mark.parametrize("shift", range(len(TESTED)))
def test_a_file_of_all_families_is_as_large_as_planned_and_gives_the_same_logits(task, space, shift):
    """Each hidden layer of another family, as trained for a few steps."""
    choices = one_of_each(space)
    layers = {}
    for i, (name, row) in enumerate(choices.items()):
        family = TESTED[(i + shift) % len(TESTED)]
        layers[name] = next((c for c in reversed(row) if isinstance(c, family)), row[0])
    plan = space.space.make_plan(layers)
    child = build_child(task.network, task.shape, plan, seed=0, teacher=task.teacher).train()
    optimizer = torch.optim.Adam(child.parameters(), 0.01)
    x, y = to_input(task.data.train_x[:64]), task.data.train_y[:64]
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(child(x), y).backward()
        optimizer.step()
    codes = pack(child.eval(), task.shape, plan)
    data = encode(task.shape, plan, codes)
    assert len(data) == price(task.shape, plan).file_bytes
    file = decode(data, allow_code=True)
    assert file.plan.layers == layers
    logits = assemble(copy.deepcopy(task.network), task.shape, plan, codes)(x)
    assert torch.equal(file.network()(x), logits)
    assert (logits - child(x)).abs().max() <= 0.05 * child(x).abs().max()
    labels = {words.choice(choice) for choice in layers.values()}
    assert all("\n" not in text for text in labels) and len(labels) == len(set(layers.values()))


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (Stacked(4, 2, (3, 3)), "k=4 s=2 3×3"),
        (Sparse(4, 2, (3, 3), 2, 1, 3), "k=4 s=2 3×3, 1×3 of 2 bit"),
        (Composite(3, (24, 6)), "composite raw=3 ranks=[24, 6]"),
        (Binary(), "binary"),
    ],
)
def test_the_report_names_them(choice, text):
    assert words.choice(choice) == text
