"""NNI's own books, read without NNI: its list of experiments and an experiment's sqlite database. Nothing is written.

NNI appends every event of a trial and every metric to the database, so that a running experiment can be read as well.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from search_space.errors import BankwiseError, unknown

WAITING, RUNNING, RESUMED = "WAITING", "RUNNING", "ADD_RESUMED"


@dataclass
class TrialJob:
    """`parameters` are those that NNI meant for the job; `final` is its last word, or None. Times in milliseconds."""

    id: str
    status: str = "UNKNOWN"
    time: int = 0
    parameter_id: int | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    epochs: dict[int, object] = field(default_factory=dict)
    final: object = None


def listed() -> dict[str, dict]:
    """NNI's list of the experiments of this user on this machine, by id."""
    path = Path.home() / "nni-experiments" / ".experiment"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {name: values for name, values in known.items() if isinstance(values["logDir"], str)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BankwiseError(f"NNI's list of experiments {str(path)!r} is damaged") from None


def experiments() -> dict[str, Path]:
    """The folder of every experiment that NNI knows, by id."""
    return {name: Path(values["logDir"]) / name for name, values in listed().items()}


def find(name: str) -> Path:
    known = experiments()
    if name not in known:
        raise unknown("NNI experiment", name, known or ["none on this machine"])
    return known[name]


def config(folder: Path) -> dict:
    """The configuration as NNI keeps it, the latest search space included."""
    rows = _rows(folder, "select params from ExperimentProfile order by revision desc limit 1")
    if not rows:
        raise BankwiseError(f"NNI's experiment {folder.name!r} has not begun")
    return json.loads(rows[0][0])


def trial_jobs(folder: Path) -> list[TrialJob]:
    """Every trial job of the experiment, in the order in which they were submitted."""
    jobs: dict[str, TrialJob] = {}
    for time, name, event, data in _rows(
        folder, "select timestamp, trialJobId, event, data from TrialJobEvent order by rowid"
    ):
        if not name:  # an event of the experiment
            continue
        job = jobs.setdefault(name, TrialJob(name))
        if event == "ADD_HYPERPARAMETER":
            continue
        job.status, job.time = {"USER_TO_CANCEL": "USER_CANCELED"}.get(event, event), time
        if data and not job.parameters:
            packed = json.loads(data)
            job.parameter_id, job.parameters = packed.get("parameter_id"), packed.get("parameters")
    for name, kind, sequence, data in _rows(
        folder, "select trialJobId, type, sequence, data from MetricData order by rowid"
    ):
        if name not in jobs:
            continue
        value = json.loads(json.loads(data))  # a string within a string, as trials send it
        if kind == "PERIODICAL":
            jobs[name].epochs[sequence] = value
        elif jobs[name].final is None:
            jobs[name].final = value
    return list(jobs.values())


def _rows(folder: Path, query: str) -> list[tuple]:
    path = (folder / "db" / "nni.sqlite").absolute()
    if not path.exists():
        raise BankwiseError(f"NNI's database {str(path)!r} is gone")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.Error as error:
        raise BankwiseError(
            f"cannot read NNI's database {str(path)!r} ({error}); the experiment's own folder tells the same"
        ) from None
