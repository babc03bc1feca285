"""Weights & Biases: one run for a search, under an id that its folder keeps. WANDB_MODE=offline writes below
RUN/wandb."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankwise.logs.base import Log, flat, numbers, training
from bankwise.logs.kept import kept_id
from bankwise.trainers.loop import EpochReport


class WandB(Log):
    name = "wandb"

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        super().__init__(folder, settings)
        import wandb

        self._run = wandb.init(
            project="bankwise",
            name=folder.name,
            id=kept_id(folder, self.name, lambda: secrets.token_hex(4)),
            resume="allow",
            dir=str(folder),
            config=flat(settings),
            settings=wandb.Settings(silent=True),
        )

    def epoch(self, phase: str, number: int, epoch: EpochReport) -> None:
        name = training(phase, number)
        self._run.log({f"{name}/epoch": epoch.epoch, f"{name}/loss": epoch.loss, f"{name}/accuracy": epoch.accuracy})

    def result(self, phase: str, number: int, metrics: Mapping[str, Any]) -> None:
        name = training(phase, number)
        self._run.log({f"{name}/file/{key}": value for key, value in numbers(metrics).items()})

    def end(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update(flat(summary))

    def close(self) -> None:
        self._run.finish()
