"""What all trials share: put into Ray's object store once, fetched from there by every trial.

Networks are copied, a process each.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.engines.shared_images import SharedImages
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import TrialStore
from bankwise.trainers.task import Task

_NO_DATA: Any = {"data": None}


@dataclass(frozen=True)
class SharedTrial:
    """The task but for its images, the images, the recipe of a trial, the space that its config decodes in, and the
    store of the trials (None: each has its own)."""

    rest: Task
    images: SharedImages
    recipe: Recipe
    space: BudgetedSpace
    store: TrialStore | None = None

    @classmethod
    def of(cls, task: Task, recipe: Recipe, space: BudgetedSpace, store: TrialStore | None = None) -> SharedTrial:
        return cls(dataclasses.replace(task, **_NO_DATA), SharedImages(task.data), recipe, space, store)

    @property
    def task(self) -> Task:
        return dataclasses.replace(self.rest, data=self.images.data)
