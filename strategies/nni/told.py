"""What a running NNI experiment has to tell a job: epochs and results, from NNI's database."""

from __future__ import annotations

from pathlib import Path

from strategies.job import Job
from strategies.nni import database
from strategies.nni.points import Points
from strategies.nni.records import records
from trainers.loop import EpochReport


class Told:
    """What of the database the job was told; what was there before is not told again."""

    def __init__(self, job: Job, folder: Path, place: Path):
        self.job, self.folder, self.place = job, folder, place
        self.points = Points(job.strategy.space)
        self.epochs: dict[str, int] = {}
        self.results: set[str] = set()
        for one in self._jobs():
            self.epochs[one.id] = len(one.epochs)
            if one.final is not None:
                self.results.add(one.id)

    def _jobs(self) -> list[database.TrialJob]:
        """No jobs where NNI has not begun its books yet."""
        return database.trial_jobs(self.place) if (self.place / "db" / "nni.sqlite").exists() else []

    def look(self) -> list[database.TrialJob]:
        jobs = self._jobs()
        for number, one in enumerate(jobs):
            for sequence in range(self.epochs.get(one.id, 0), len(one.epochs)):
                if isinstance(value := one.epochs.get(sequence), dict) and "loss" in value:
                    report = [value[key] for key in ("epoch", "epochs", "loss", "default", "seconds")]
                    self.job.on_epoch(number, EpochReport(*report))
            self.epochs[one.id] = max(self.epochs.get(one.id, 0), len(one.epochs))
            if isinstance(one.final, dict) and one.id not in self.results:
                self.results.add(one.id)
                self.job.on_result(number, self._metrics(str(one.final.get("plan"))))
        return jobs

    def _metrics(self, text: str) -> dict:
        """Of the record that a final metric is taken from."""
        plan = self.points.space.plan(self.points.read(text))
        return next(one.metrics for one in records(self.folder) if one.plan == plan)
