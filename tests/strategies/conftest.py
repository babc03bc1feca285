from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from bankwise.search_space.budget import Budget
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.space import SearchSpace, SpaceSettings
from bankwise.strategies import BudgetedSpace
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task


@pytest.fixture(scope="session")
def task() -> Task:
    """The tiny network on the digits, with a briefly trained teacher."""
    task = make_task("tiny", load_data("digits", limit=600), Recipe(epochs=2))
    teacher = make_task("tiny", task.data, task.recipe).network
    train(teacher, task.data, task.recipe)
    return dataclasses.replace(task, teacher=teacher.eval().requires_grad_(False))


@pytest.fixture
def space(task: Task) -> BudgetedSpace:
    return BudgetedSpace(SearchSpace(task.shape), Budget(1300))


@pytest.fixture(scope="session")
def tiny_space() -> Callable[[int, float], BudgetedSpace]:
    """Spaces small enough to enumerate."""
    return make_tiny_space


def make_tiny_space(layers: int, share: float) -> BudgetedSpace:
    """2 to 4 layers of 4 to 6 choices; `share` of the way from the cheapest plan to the dearest."""
    sizes = ((4, 2), (6, 4), (4, 8), (2, 4))[:layers]
    shapes = [LayerShape(f"part.{i}", "conv2d", n, c, (1, 1), out_size=(2, 2)) for i, (n, c) in enumerate(sizes)]
    kinds = ("binary", "int2", "int4", "float16", "float32")
    shape = NetworkShape("own", (2, 2, 2), 2, tuple(shapes), (), (), 64)
    space = SearchSpace(shape, SpaceSettings(kinds, kinds, kinds[:4]))
    costs = space.prices.file_bytes
    least, most = (sum(int(pick(row)) for row in costs) for pick in (min, max))
    return BudgetedSpace(space, Budget(space.prices.fixed_file_bytes + least + int(share * (most - least))))
