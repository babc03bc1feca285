"""What a search was run in: things that its settings do not say, but that the same result hangs on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from bankwise.search_space import strict
from bankwise.trainers.data import data_folder
from bankwise.trainers.task import TaskSource


@dataclass(frozen=True)
class Surroundings:
    """The folder that the process was in, the CPU threads of torch, the folder of data sets where there was one, and
    the options of the engine. A run that goes on elsewhere is the same run."""

    directory: str
    threads: int
    data_root: str | None
    engine_options: Mapping[str, str | int | float | bool]

    @classmethod
    def now(cls, source: TaskSource, options: Mapping[str, object]) -> Surroundings:
        root = data_folder(source.data_root)
        plain = {name: value for name, value in options.items() if isinstance(value, str | int | float | bool)}
        return cls(str(Path.cwd()), torch.get_num_threads(), str(root.resolve()) if root.is_dir() else None, plain)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        values: dict[str, object] = strict.to_dict(self)
        return values

    def before(self) -> list[str]:
        """What a shell sets before the command."""
        return [f"cd {shlex.quote(self.directory)} &&", f"OMP_NUM_THREADS={self.threads}"]

    def options(self) -> list[str]:
        """Further options of the command, each with its value."""
        found = []
        for name, value in self.engine_options.items():
            option = name.replace("_", "-")
            if isinstance(value, bool):
                found.append(f"--{option}" if value else f"--no-{option}")
            else:
                found.append(f"--{option} {shlex.quote(str(value))}")
        return found
