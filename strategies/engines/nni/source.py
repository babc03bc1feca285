"""A task's source for processes that start elsewhere: trials and tuners have other folders and environments."""

from __future__ import annotations

import dataclasses
import os

from bankwise.search_space.networks import names_code
from bankwise.trainers.data import data_folder
from bankwise.trainers.data_sets import find_data_set
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource


def anywhere(source: TaskSource, recipe: Recipe) -> tuple[TaskSource, str | None]:
    """The same source for a process in another folder and with another environment, and the folder that a user's own
    network, data set, loss or metric is imported from."""
    found = find_data_set(source.data)
    data = source.data if found.path is None else f"{found.reference}:{found.path.absolute()}"
    root = str(data_folder(source.data_root).absolute()) if found.kind.in_root else None
    code = os.getcwd() if names_code(source.network) or found.users or recipe.named_code else None
    return dataclasses.replace(source, data=data, data_root=root), code
