"""All kinds, over one small finished search."""

from __future__ import annotations

from pathlib import Path

from bankwise.search_settings import SearchSettings
from bankwise.searching import search
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource
from fuzz.kinds import folders, texts
from fuzz.kinds.images import Archives, ImageFolders
from fuzz.kinds.kind import Kind
from fuzz.kinds.model_files import ModelFiles
from fuzz.kinds.networks import Networks

SEARCH = SearchSettings(
    trials=2,
    uniform_trials=1,
    finalists=1,
    finalist_seeds=1,
    seeds=1,
    trial_epochs=1,
    recipe=Recipe(epochs=1, threads=1),
)


def every_kind(folder: Path) -> list[Kind]:
    """Those that damage what a search wrote are given one, made below `folder`."""
    source, run = TaskSource("tiny", "digits", limit=200), folder / "run"
    search(None, source, "1200", run, SEARCH)
    task = source.make(SEARCH.recipe)
    budgeted = folders.budgeted_space(run, task)
    return [
        ModelFiles(run),
        texts.plans(run),
        texts.recipes(run),
        texts.spaces(run),
        folders.settings(run, task, budgeted),
        folders.journals(run, task, budgeted),
        folders.Experiments(folder / "experiment"),
        ImageFolders(),
        Archives(),
        Networks(),
    ]
