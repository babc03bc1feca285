"""Networks that are awkward in ways of their own, and the space of the tiny one."""

from __future__ import annotations

import pytest
import torch

import bankwise.strategies.engines.nni.nas  # noqa: F401 - before nni.nas
from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace, SpaceSettings
from bankwise.search_space.trace import trace
from bankwise.strategies import BudgetedSpace
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task


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
