"""Which float network each training of a run starts from."""

from __future__ import annotations

from pathlib import Path

import torch

from bankwise.phases import Phases
from bankwise.run_folder import RunFolder
from search_space.budget import Budget
from search_space.space import SearchSpace
from strategies import BudgetedSpace, make_strategy
from trainers.data import load_data
from trainers.recipe import Recipe
from trainers.task import Task, make_task


class Recorded(Phases):
    """Keeps the task of every full training."""

    def __init__(self, task: Task, folder: RunFolder, recipe: Recipe):
        super().__init__(task, folder, recipe, 0, {"uncompressed": 2, "final searched": 2, "finalists": 3}, None)
        self.trained: list[Task] = []

    def train_in_full(self, task: Task, *arguments):
        self.trained.append(task)
        return super().train_in_full(task, *arguments)


def make(out: Path) -> tuple[Recorded, object]:
    recipe = Recipe(epochs=1, threads=1)
    task = make_task("tiny", load_data("digits", limit=200), recipe)
    folder = RunFolder(out)
    folder.claim({})
    space = BudgetedSpace(SearchSpace(task.shape), Budget(1200))
    return Recorded(task, folder, recipe), make_strategy("rate", space).ask()


def test_every_final_training_starts_from_a_float_network_of_its_own(tmp_path):
    phases, plan = make(tmp_path / "run")
    phases.uncompressed(2)
    first, second = phases.teachers
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert phases.task.teacher is first
    phases.final("searched", plan, 2)
    assert [task.teacher for task in phases.trained] == [first, second]
    for number in range(3):
        phases.full("finalists", f"finalist-{number}", plan, number, number, number)
    assert [task.teacher for task in phases.trained[2:]] == [first, second, first]


def test_without_float_networks_there_is_no_teacher(tmp_path):
    phases, plan = make(tmp_path / "run")
    phases.final("searched", plan, 1)
    assert [task.teacher for task in phases.trained] == [None]
