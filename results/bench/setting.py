"""The settings of the tabular benchmark: a network, images, a recipe, and bytes for the choices of the layers.

A budget here counts the packed parts of the layers' choices alone, neither header nor norms, so that rows stay what
they are where a file's fixed part changes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bankwise.search_space.budget import Budget
from bankwise.search_space.parts import norm_parts
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.search_space.vector import VECTORS
from bankwise.strategies import BudgetedSpace
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task

USUAL = ("stacked", "binary")
ALL = ("stacked", "sparse", "binary", "tiled", "subbit", "int2", "composite")


@dataclass(frozen=True)
class Setting:
    """`images` (None: all) with the share `validation` of them validate; hidden layers take `kinds`, within `bytes`.
    The teacher is trained for `teacher_epochs` by the same recipe."""

    name: str
    network: str
    data: str
    input_shape: tuple[int, int, int]
    bytes: int
    images: int | None
    validation: float
    recipe: Recipe
    teacher_epochs: int
    kinds: tuple[str, ...] = USUAL
    classes: int = 10

    @cached_property
    def space(self) -> BudgetedSpace:
        shape = shape_of(self.network, self.input_shape, self.classes)
        space = SearchSpace(shape, SpaceSettings(hidden=self.kinds))
        norms = [norm_parts(layer.n, VECTORS["v8"]) for layer in shape.layers if layer.norm]
        apart = space.prices.fixed_device_bytes + sum(part.file_bytes for parts in norms for part in parts)
        return BudgetedSpace(space, Budget(self.bytes + apart, "device"))

    def task(self, root: str, cache: Path) -> Task:
        """With the teacher, kept in `cache`."""
        data = load_data(self.data, root=root, limit=self.images, validation=self.validation)
        task = make_task(self.network, data, self.recipe)
        longer = dataclasses.replace(self.recipe, epochs=self.teacher_epochs)
        train(task.network, data, longer, checkpoint=cache / f"{self.name}-teacher.pt")
        teacher = task.network.eval().requires_grad_(False)
        return dataclasses.replace(make_task(self.network, data, self.recipe), teacher=teacher)


def _digits(name: str, budget: int, kinds: tuple[str, ...] = USUAL) -> Setting:
    recipe = Recipe(epochs=15, recalibrate=2, threads=1)
    return Setting(name, "tiny", "digits", (1, 8, 8), budget, None, 0.5, recipe, 30, kinds)


def _narrow(name: str, data: str, budget: int) -> Setting:
    recipe = Recipe(epochs=8, batch=50, recalibrate=2, threads=1)
    return Setting(name, "small@0.25", data, (1, 28, 28), budget, 2000, 0.6, recipe, 16)


SETTINGS = {
    setting.name: setting
    for setting in (
        _digits("digits-300", 300),
        _digits("digits-500", 500),
        _digits("digits-800-families", 800, ALL),
        _narrow("mnist-400", "mnist", 400),
        _narrow("fashion-800", "fashion-mnist", 800),
        Setting(
            "cifar10-1500", "small@0.5", "cifar10", (3, 32, 32), 1500, 2500, 0.5,
            Recipe(epochs=6, batch=50, recalibrate=2, threads=1), 12,
        ),
    )
}  # fmt: skip
