"""The folder of one plan's trial, DIR/trials/KEY: a checkpoint while it trains, a record when it is through."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from search_space.errors import BankwiseError
from search_space.files import write_text
from search_space.plan import Plan
from trainers.checkpoint import load_checkpoint
from trainers.loop import EpochReport

FOLDER = "trials"


@dataclass(frozen=True)
class Record:
    """A finished trial: `metrics` as `TrialResult.metrics` gives them, every epoch, the time (seconds since 1970)."""

    plan: Plan
    metrics: dict
    epochs: tuple[EpochReport, ...]
    time: float


class TrialFolder:
    """One process at a time works in it, under `lock`."""

    def __init__(self, folder: Path, key: str):
        self.path = folder / FOLDER / key
        self.checkpoint = self.path / "checkpoint.pt"
        self._record = self.path / "record.json"

    def lock(self) -> FileLock:
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / "lock")

    def epochs(self) -> list[EpochReport]:
        """Those that a trial to be resumed has behind it."""
        if not self.checkpoint.exists():
            return []
        return [EpochReport(**epoch) for epoch in load_checkpoint(self.checkpoint)["history"]]

    def record(self) -> Record | None:
        if not self._record.exists():
            return None
        try:
            values = json.loads(self._record.read_text(encoding="utf-8"))
            epochs = tuple(EpochReport(**epoch) for epoch in values["epochs"])
            return Record(Plan.from_dict(values["plan"]), dict(values["metrics"]), epochs, float(values["time"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BankwiseError(
                f"{str(self._record)!r} is damaged ({error}); delete it to try the plan again"
            ) from None

    def finish(self, plan: Plan, metrics: dict, epochs: list[EpochReport]) -> Record:
        """Write the record; the checkpoint has done its duty."""
        done = Record(plan, metrics, tuple(epochs), time.time())
        values = {"plan": plan.to_dict(), "metrics": metrics, "time": done.time}
        values["epochs"] = [dataclasses.asdict(epoch) for epoch in epochs]
        write_text(self._record, json.dumps(values, indent=2) + "\n")
        self.checkpoint.unlink(missing_ok=True)
        return done


def records(folder: Path) -> list[Record]:
    """Every finished trial of an experiment's folder, in the order in which they finished."""
    found = (TrialFolder(folder, path.parent.name).record() for path in (folder / FOLDER).glob("*/record.json"))
    return sorted((record for record in found if record is not None), key=lambda record: record.time)
