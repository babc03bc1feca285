from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from bankwise.report.gather import Run, read_run
from bankwise.search_space.price import price
from bankwise.searching import SearchSettings, search
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource

LIMIT = 200  # images: these tests look at pages, not at accuracies


def made(folder: Path, budget: str, strategy: str, accounting: str = "file", seeds: int = 2, **settings) -> Path:
    recipe = Recipe(epochs=1, threads=1)
    chosen = SearchSettings(
        strategy, trials=4, uniform_trials=2, seeds=seeds, trial_epochs=1, recipe=recipe, **settings
    )
    search(None, TaskSource("tiny", "digits", limit=LIMIT), budget, folder, chosen, accounting=accounting)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real search; not to be changed."""
    return made(tmp_path_factory.mktemp("runs") / "first", "1200", "random")


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search in paper accounting, of one seed; not to be changed."""
    return made(tmp_path_factory.mktemp("runs") / "paper", "0.5KiB", "rate", "paper", seeds=1)


@pytest.fixture(scope="session")
def widened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of widths too; not to be changed."""
    return made(tmp_path_factory.mktemp("runs") / "widened", "1200", "rate", seeds=1, widths=(0.5, 1.0))


@pytest.fixture(scope="session")
def run(finished: Path) -> Run:
    return read_run(finished)


@pytest.fixture(scope="session")
def apart(run: Run) -> Run:
    """The same, whichever plan was best, as if one that is not uniform had been."""
    plan = next(trial.plan for trial in run.searched_trials if trial.plan.layers != run.uniform_plan.layers)
    return dataclasses.replace(run, plan=plan, price=price(run.shape, plan))


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
