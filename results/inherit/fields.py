"""The plans that the study tries: those of the table of trained plans, and mutants of a deeper network's plans."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from bankwise.strategies import BudgetedSpace
from bankwise.strategies.moves import Moves
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from results.bench.draw import ORIGINS, draw
from results.bench.setting import SETTINGS, Setting
from results.bench.table import Table
from results.inherit.descent import Nearness, Trained, start

DEEP = Setting(
    "digits-deep", "resnet20@0.25", "digits", (1, 8, 8), 800, None, 0.5,
    Recipe(epochs=15, recalibrate=2, threads=1), 30,
)  # fmt: skip
TABLES = ("digits-500", "digits-800-families")
PLANS, PARENTS = 64, 16  # of a table: the first so many, and parents of these
FAMILIES, MUTANTS = 6, 4  # of the deep network: parents, and mutants of each
SHIFT = 100  # seeds of trials, above those of the table
TRUTHS = (51, 52)  # seeds of full trainings


class Field:
    """Plans (n, layers) of indices that trials are to order, all with a known accuracy after a full training."""

    def __init__(self, name: str, root: str, cache: Path) -> None:
        self.name, self.root, self.cache = name, root, cache
        self.setting = DEEP if name == DEEP.name else SETTINGS[name]

    @cached_property
    def plans(self) -> list[tuple[int, ...]]:
        if self.name == DEEP.name:
            return deep_plans(self.space)
        table = Table.read(self.name)
        return [tuple(map(int, row)) for row in table.indices()[table.usable][:PLANS]]

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
        if self.name == DEEP.name:
            return list(range(FAMILIES))
        return sorted(np.random.default_rng((5, seed)).choice(len(self.plans), PARENTS, replace=False).tolist())

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


def deep_plans(space: BudgetedSpace) -> list[tuple[int, ...]]:
    """FAMILIES parents near the closed form's optimum, where a search lives, then MUTANTS of each as evolution
    mutates."""
    known: set[tuple[int, ...]] = set()
    plans: list[tuple[int, ...]] = []

    def add(plan: Sequence[int] | np.ndarray | None) -> bool:
        found = None if plan is None else tuple(int(i) for i in plan)
        if found is None or found in known:
            return False
        known.add(found)
        plans.append(found)
        return True

    number = 1
    while len(plans) < FAMILIES:
        add(draw(space, number, known))
        number += len(ORIGINS)
    moves, rng = Moves(space), np.random.default_rng(7)
    for parent in plans[:FAMILIES]:
        count = 0
        while count < MUTANTS:
            count += add(moves.mutated(parent, rng))
    return plans
