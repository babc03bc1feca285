"""Networks that are awkward in ways of their own, and the space of the tiny one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import strategies.nni.nas  # noqa: F401 - before nni.nas
from search_space.budget import Budget
from search_space.shape import LayerShape, NetworkShape
from search_space.space import SearchSpace, SpaceSettings
from search_space.trace import trace
from strategies import BudgetedSpace
from trainers.data import load_data
from trainers.recipe import Recipe
from trainers.task import Task


class Awkward(torch.nn.Module):
    """Layers shared in one parent and across parents, names with a slash, groups, reflected padding, a bias."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.add_module("in/out", nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect", bias=False))
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding="same", groups=2)
        self.again = self.twice
        self.block = nn.Sequential(nn.ReLU(), self.twice)
        self.blocks = nn.ModuleList([self.block, self.block])
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.norm(getattr(self, "in/out")(x))
        x = self.again(self.twice(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="session")
def awkward() -> Task:
    torch.manual_seed(0)
    network = Awkward()
    data = load_data("digits", limit=200)
    return Task(network, trace(network, "awkward", data.input_shape, data.classes), data, Recipe(epochs=1, batch=50))


@pytest.fixture
def awkward_space(awkward: Task) -> BudgetedSpace:
    settings = SpaceSettings(max_k=4, last=("float32",))  # one choice in the last layer
    space = SearchSpace(awkward.shape, settings)
    sizes = space.prices.file_bytes
    least, most = (sum(int(pick(row)) for row in sizes) for pick in (min, max))
    return BudgetedSpace(space, Budget(space.prices.fixed_file_bytes + (3 * least + most) // 4))


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
