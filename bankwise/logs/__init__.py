"""Logs of a run beside its own folder: kinds by name, each made of a package that is imported when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bankwise.logs.base import Choices, Log
from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.imports import error_line
from bankwise.search_space.plan import Plan
from bankwise.strategies.trials import Record
from bankwise.trainers.loop import EpochReport

KINDS = {  # module and class of each
    "tensorboard": ("on_tensorboard", "TensorBoard"),
    "wandb": ("on_wandb", "WandB"),
    "mlflow": ("on_mlflow", "MLflow"),
    "optuna": ("on_optuna", "OptunaStudy"),
}


def check_logs(names: Sequence[str]) -> None:
    """Raises BankwiseError where there is no such log, or its package is missing."""
    for name in names:
        if name not in KINDS:
            raise unknown("log", name, [*KINDS])
        if importlib.util.find_spec(name) is None:
            raise BankwiseError(f"log {name!r} needs the package {name}: pip install 'bankwise[{name}]'")


class Logs:
    """All logs of a run. One that fails is ended and told of by `tell`; the run goes on. A context manager."""

    def __init__(
        self,
        names: Sequence[str],
        folder: Path,
        settings: Mapping[str, Any],
        tell: Callable[[str], None] = lambda line: None,
    ):
        self.tell = tell
        self.logs: list[Log] = []
        for name in dict.fromkeys(names):
            home, kind = KINDS[name]
            try:
                self.logs.append(getattr(importlib.import_module(f"bankwise.logs.{home}"), kind)(folder, settings))
            except BankwiseError:
                raise
            except Exception as error:  # whatever the package raises: no server, no login, another version
                raise BankwiseError(f"log {name!r} cannot be begun: {error_line(error)}") from error

    def __enter__(self) -> Logs:
        return self

    def __exit__(self, *error: object) -> None:
        self._each(lambda log: log.close())

    def _each(self, call: Callable[[Log], None]) -> None:
        for log in list(self.logs):
            try:
                call(log)
            except Exception as error:  # as above
                self.logs.remove(log)
                self.tell(f"log {log.name!r} failed and is ended; the run goes on: {error_line(error)}")

    def begin(self, phase: str, number: int, plan: Plan, choices: Choices) -> None:
        self._each(lambda log: log.begin(phase, number, plan, choices))

    def epoch(self, phase: str, number: int, epoch: EpochReport) -> None:
        self._each(lambda log: log.epoch(phase, number, epoch))

    def result(self, phase: str, number: int, metrics: Mapping[str, Any]) -> None:
        self._each(lambda log: log.result(phase, number, metrics))

    def trials(self, phase: str, records: Sequence[Record], choices: Choices) -> None:
        self._each(lambda log: log.trials(phase, records, choices))

    def end(self, summary: Mapping[str, Any]) -> None:
        self._each(lambda log: log.end(summary))
