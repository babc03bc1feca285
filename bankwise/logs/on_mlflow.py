"""MLflow: one run for a search, under an id that its folder keeps, where MLFLOW_TRACKING_URI says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankwise.logs.base import Log, flat, numbers, training
from bankwise.logs.kept import kept_id
from bankwise.trainers.loop import EpochReport

EXPERIMENT = "bankwise"


class MLflow(Log):
    name = "mlflow"

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        super().__init__(folder, settings)
        from mlflow import MlflowClient

        self._client = MlflowClient()
        self._id = kept_id(folder, self.name, self._begun)
        for key, value in flat(settings).items():
            self._client.set_tag(self._id, key, value)

    def _begun(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(EXPERIMENT)
        run: str = self._client.create_run(experiment, run_name=self.folder.name).info.run_id
        return run

    def epoch(self, phase: str, number: int, epoch: EpochReport) -> None:
        name = training(phase, number)
        self._client.log_metric(self._id, f"{name}/loss", epoch.loss, step=epoch.epoch)
        self._client.log_metric(self._id, f"{name}/accuracy", epoch.accuracy, step=epoch.epoch)

    def result(self, phase: str, number: int, metrics: Mapping[str, Any]) -> None:
        for key, value in numbers(metrics).items():
            self._client.log_metric(self._id, f"{training(phase, number)}/file/{key}", value)

    def end(self, summary: Mapping[str, Any]) -> None:
        for key, value in numbers(summary).items():
            self._client.log_metric(self._id, key, value)
        self._client.set_terminated(self._id)
