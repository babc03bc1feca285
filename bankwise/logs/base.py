"""What a log of a run is told. Each kind is a file of this folder and a name in `bankwise.logs`."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from bankwise.search_space.plan import Plan
from bankwise.strategies.trials import Record
from bankwise.trainers.loop import EpochReport

Choices = Mapping[str, Sequence[str]]  # the short codes of all choices of every layer


class Log(ABC):  # noqa: B024 - each kind takes what it can show
    """Made when a run begins or goes on, with its folder and its settings; told what happens, some of it again where a
    run goes on. A phase, such as "search", and a number name a training. Making it raises BankwiseError where the log
    cannot be written; an error later ends the log, not the run."""

    name: ClassVar[str]

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.folder, self.settings = folder, settings

    def begin(self, phase: str, number: int, plan: Plan, choices: Choices) -> None:  # noqa: B027 - as said above
        """A trial begins."""

    def epoch(self, phase: str, number: int, epoch: EpochReport) -> None:  # noqa: B027
        """An epoch of any training ended."""

    def result(self, phase: str, number: int, metrics: Mapping[str, Any]) -> None:  # noqa: B027
        """A training ended, and its file was measured."""

    def trials(self, phase: str, records: Sequence[Record], choices: Choices) -> None:  # noqa: B027
        """All trials of a phase ended."""

    def end(self, summary: Mapping[str, Any]) -> None:  # noqa: B027
        """The run ended."""

    def close(self) -> None:  # noqa: B027
        """Nothing more comes."""


def training(phase: str, number: int) -> str:
    """The name of a training, such as search-3."""
    return f"{phase.replace(' ', '-')}-{number}"


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str | int | float | bool]:
    """Settings by dotted names, without what is longer than a line."""
    found: dict[str, str | int | float | bool] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        elif isinstance(value, str | int | float | bool) and len(str(value)) < 200:
            found[f"{before}{name}"] = value
    return found
