"""An Optuna study of the trials, beside the ledger: RUN/search/optuna.log, a journal that Optuna's dashboard opens
while the search runs and afterwards. A study's parameters are the layers, their values short codes of choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bankwise.logs.base import Choices, Log, numbers
from bankwise.search_space.files import write_bytes
from bankwise.search_space.plan import Plan
from bankwise.strategies.journal import FAILED
from bankwise.strategies.trials import Record
from bankwise.trainers.loop import EpochReport

PHASES = ("search", "uniform")  # those of trials
FILE = "optuna.log"
NUMBER = "trial"  # the attribute that holds the ledger's number


class OptunaStudy(Log):
    name = "optuna"

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        super().__init__(folder, settings)
        import optuna

        self._optuna, self._states = optuna, optuna.trial.TrialState
        self._open: dict[str, tuple[Any, int, dict[int, int]]] = {}

    def _study(self, phase: str) -> tuple[Any, int, dict[int, int]]:
        """The storage of the phase, its study there, and the study's trial for each number of the ledger's."""
        if phase not in self._open:
            from optuna.storages.journal import JournalFileBackend

            path = (self.folder / phase / FILE).resolve()  # Optuna's lock is a link to it
            path.parent.mkdir(parents=True, exist_ok=True)
            _mend(path)
            storage = self._optuna.storages.JournalStorage(JournalFileBackend(str(path)))
            names = [study.study_name for study in storage.get_all_studies()]
            if phase not in names:
                storage.create_new_study([self._optuna.study.StudyDirection.MAXIMIZE], phase)
            study = storage.get_study_id_from_name(phase)
            known = {
                trial.user_attrs[NUMBER]: storage.get_trial_id_from_study_id_trial_number(study, trial.number)
                for trial in storage.get_all_trials(study)
            }
            self._open[phase] = storage, study, known
        return self._open[phase]

    def begin(self, phase: str, number: int, plan: Plan, choices: Choices) -> None:
        storage, study, known = self._study(phase)
        if number in known:
            return
        categorical = self._optuna.distributions.CategoricalDistribution
        made = self._optuna.trial.FrozenTrial(
            number=-1,  # as the storage counts
            trial_id=-1,
            state=self._states.RUNNING,
            value=None,
            datetime_start=datetime.now(),
            datetime_complete=None,
            params={name: choice.code() for name, choice in plan.layers.items()},
            distributions={name: categorical(codes) for name, codes in choices.items()},
            user_attrs={NUMBER: number},
            system_attrs={},
            intermediate_values={},
        )
        known[number] = storage.create_new_trial(study, template_trial=made)

    def epoch(self, phase: str, number: int, epoch: EpochReport) -> None:
        storage, trial = self._running(phase, number)
        if trial is not None:
            storage.set_trial_intermediate_value(trial, epoch.epoch, epoch.accuracy)

    def result(self, phase: str, number: int, metrics: Mapping[str, Any]) -> None:
        storage, trial = self._running(phase, number)
        if trial is not None:
            for name, value in numbers(metrics).items():
                storage.set_trial_user_attr(trial, name, value)
            storage.set_trial_state_values(trial, self._states.COMPLETE, [float(metrics["accuracy"])])

    def _running(self, phase: str, number: int) -> tuple[Any, int | None]:
        """The storage, and the study's trial where it has not ended; None for what is no trial."""
        if phase not in PHASES:
            return None, None
        storage, _, known = self._study(phase)
        trial = known.get(number)
        return storage, None if trial is None or storage.get_trial(trial).state.is_finished() else trial

    def trials(self, phase: str, records: Sequence[Record], choices: Choices) -> None:
        """Enters what was not told while it happened: trials of other processes, and failures."""
        for record in records:
            if record.number is None:
                continue
            self.begin(phase, record.number, record.plan, choices)
            storage, trial = self._running(phase, record.number)
            if record.metrics is not None:
                self.result(phase, record.number, record.metrics)
            elif trial is not None and record.status == FAILED:
                storage.set_trial_user_attr(trial, "reason", record.reason)
                storage.set_trial_state_values(trial, self._states.FAIL)


def _mend(path: Path) -> None:
    """Remove what a killed writer left: its lock, for which Optuna waits, and half a line, which it cannot read. The
    run is this process's alone."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    lines = path.read_bytes() if path.exists() else b""
    if lines and not lines.endswith(b"\n"):
        write_bytes(path, lines[: lines.rfind(b"\n") + 1])
