from __future__ import annotations

import dataclasses

import pytest

from search_space.budget import Budget
from search_space.space import SearchSpace
from strategies import BudgetedSpace
from trainers.data import load_data
from trainers.loop import train
from trainers.recipe import Recipe
from trainers.task import Task, make_task


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
