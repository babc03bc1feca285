"""A task's source for processes that start elsewhere: trials and tuners have other folders and environments."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from search_space.networks import names_code
from trainers.sources import TORCHVISION_SETS
from trainers.task import TaskSource


def anywhere(source: TaskSource) -> tuple[TaskSource, str | None]:
    """The same source for a process in another folder and with another environment, and the folder of a user's own
    network."""
    kind, _, path = source.data.partition(":")
    data = f"{kind}:{Path(path).expanduser().absolute()}" if path else source.data
    root = None
    if data in TORCHVISION_SETS:
        root = str(Path(source.data_root or os.environ.get("BANKWISE_DATA") or "data").expanduser().absolute())
    code = os.getcwd() if names_code(source.network) else None
    return dataclasses.replace(source, data=data, data_root=root), code
