"""TensorBoard: event files below RUN/tensorboard, a run for each training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankwise.logs.base import Log, numbers, training
from bankwise.trainers.loop import EpochReport


class TensorBoard(Log):
    name = "tensorboard"

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        super().__init__(folder, settings)
        from torch.utils.tensorboard import SummaryWriter

        self._make = SummaryWriter
        self._writers: dict[str, Any] = {}

    def _writer(self, name: str) -> Any:
        """A training that begins anew, in a run that goes on, hides what it wrote before."""
        if name not in self._writers:
            self._writers[name] = self._make(str(self.folder / "tensorboard" / name), purge_step=0)
        return self._writers[name]

    def epoch(self, phase: str, number: int, epoch: EpochReport) -> None:
        writer = self._writer(training(phase, number))
        writer.add_scalar("loss", epoch.loss, epoch.epoch)
        writer.add_scalar("accuracy", epoch.accuracy, epoch.epoch)
        writer.flush()

    def result(self, phase: str, number: int, metrics: Mapping[str, Any]) -> None:
        name = training(phase, number)
        writer = self._writer(name)
        for key, value in numbers(metrics).items():
            writer.add_scalar(f"file/{key}", value, 0)
        writer.close()
        del self._writers[name]

    def end(self, summary: Mapping[str, Any]) -> None:
        writer = self._writer("result")
        for key, value in numbers(summary).items():
            writer.add_scalar(f"result/{key}", value, 0)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
