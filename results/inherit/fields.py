"""The plans that the study tries: those of the table of trained plans."""

from __future__ import annotations

import dataclasses
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from bankwise.strategies import BudgetedSpace
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from results.bench.setting import SETTINGS
from results.bench.table import Table
from results.inherit.descent import Nearness, Trained, start

TABLES = {"digits-500": (107, 16), "digits-800-families": (32, 8)}  # the first plans of a table, parents of these
TRIAL_SEED, SEARCH_SEED = 100, 200  # the first seeds of trials, above those of the table's trainings


class Field:
    """A setting of the table: plans, indices (layers,) each, that trials are to order. Their accuracies after full
    trainings are known."""

    def __init__(self, name: str, root: str, cache: Path) -> None:
        self.name, self.root, self.cache = name, root, cache
        self.setting = SETTINGS[name]

    @cached_property
    def plans(self) -> list[tuple[int, ...]]:
        table = Table.read(self.name)
        return [tuple(map(int, row)) for row in table.indices()[table.usable][: TABLES[self.name][0]]]

    @property
    def space(self) -> BudgetedSpace:
        return self.setting.space

    @cached_property
    def task(self) -> Task:
        return self.setting.task(self.root, self.cache)

    @cached_property
    def nearness(self) -> Nearness:
        return Nearness(self.space)

    def parents(self, seed: int) -> list[int]:
        """Which plans are trained in full, to be started from."""
        count = TABLES[self.name][1]
        return sorted(np.random.default_rng((5, seed)).choice(len(self.plans), count, replace=False).tolist())

    def recipe(self, epochs: int, seed: int) -> Recipe:
        return dataclasses.replace(self.setting.recipe, epochs=epochs, seed=seed)

    def trained(self, number: int, seed: int) -> Trained:
        """Plan `number`, trained in full from the float network; kept in the cache."""
        recipe, plan = self.recipe(self.setting.recipe.epochs, seed), self.space.plan(self.plans[number])
        child = start(self.task, plan, seed, None, "teacher")
        train(child, self.task.data, recipe, checkpoint=self.cache / f"parent-{self.name}-{seed}-{number}.pt")
        return Trained(self.plans[number], plan, child)


@lru_cache(maxsize=1)
def field(name: str, root: str, cache: str) -> Field:
    return Field(name, root, Path(cache))
