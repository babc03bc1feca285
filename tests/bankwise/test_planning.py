"""The closed form's answers against all plans of a small space."""

from __future__ import annotations

import itertools
import math

import pytest

from bankwise.inputs import inputs_of, traced
from bankwise.planning import MORE, Planner
from search_space.errors import InfeasibleBudget
from search_space.price import price
from search_space.space import SearchSpace, SpaceSettings
from trainers.data import load_data


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    kinds = ("binary", "int2", "int8", "float16")
    return SearchSpace(traced("tiny", "digits", None, None, None, ()), SpaceSettings(kinds, kinds, kinds))


def everything(space: SearchSpace) -> list[tuple[int, int, float]]:
    """File bytes, paper bits and summed log rate of every plan."""
    found = []
    for indices in itertools.product(*map(range, space.sizes)):
        plan = space.plan(indices)
        cost = price(space.shape, plan)
        score = sum(math.log(plan.layers[layer.name].rate(layer)) for layer in space.shape.layers)
        found.append((cost.file_bytes, cost.paper_bits, score))
    return found


@pytest.mark.parametrize("accounting", ["file", "paper"])
def test_range_best_and_shadow_are_those_of_all_plans(space, accounting):
    planner, plans = Planner(space, accounting), everything(space)
    size = (lambda plan: plan[0]) if accounting == "file" else (lambda plan: -(-plan[1] // 8))
    sizes = [size(plan) for plan in plans]
    assert [step.budget_bytes for step in planner.reach] == [min(sizes), max(sizes)]

    def best(budget: int) -> float:
        return math.exp(max(plan[2] for plan in plans if size(plan) <= budget) / len(space.names))

    for step in planner.staircase():
        assert step.rate == pytest.approx(best(step.budget_bytes))
    for budget in sorted(sizes)[:: len(sizes) // 7]:
        step = planner.best(budget)
        assert step.rate == pytest.approx(best(budget))
        shadow = planner.shadow(step)
        assert 1 + shadow.gain == pytest.approx(best(budget + MORE) / best(budget))
        assert all(gain >= 0 for gain in shadow.layers.values())
    with pytest.raises(InfeasibleBudget):
        planner.best(min(sizes) - 1)


def test_the_uniform_plan_of_the_budget(space):
    planner = Planner(space)
    uniform = planner.uniform(planner.reach[0].budget_bytes + 5000)
    assert uniform.rate <= planner.best(uniform.budget_bytes).rate
    middle = [uniform.plan.layers[name] for name in space.names[1:-1]]
    assert len(set(middle)) == 1


def test_the_data_sets_known_by_name_are_what_they_hold(data_root):
    for name in ("digits", "cifar10", "fashion-mnist"):
        data = load_data(name, root=data_root, limit=100)
        assert inputs_of(name) == (data.input_shape, data.classes)
