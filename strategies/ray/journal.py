"""The searcher and the callback of a job: they keep its journal, whatever Ray's own state is worth after a kill.

Ray saves its state of an experiment now and then, file by file. The journal is written whole at every proposal and
every end of a trial, before Ray acts on it. So after a kill the journal is right: Ray's trials go on from their
checkpoints, those that Ray has lost are proposed again, those that Ray believes unfinished but the journal does not are
ended.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from ray import cloudpickle
from ray.tune import Callback, Stopper, TuneError
from ray.tune.experiment import Trial

from search_space.errors import BankwiseError
from search_space.files import write_text
from strategies.job import Job
from strategies.ray.cluster import DISK_ERRORS
from strategies.ray.live import Live
from strategies.ray.searcher import BudgetSearcher, Proposal
from trainers.loop import EpochReport
from trainers.trial import TrialResult

RETRIES = 1  # beside Ray's own one, from the latest checkpoint


class JobSearcher(Live, BudgetSearcher):
    """Proposes the job's plans, `at_once` trials at a time, those in `paused` not counted."""

    def __init__(self, job: Job, folder: Path, at_once: int):
        super().__init__(job.strategy, job.trials, RETRIES)
        self.job, self.at_once = job, at_once
        self.records: list[dict] = []
        self.paused: set[str] = set()
        self.problem: BaseException | None = None
        self.cause = ""
        if job.journal.exists():
            self._load()
        self.name_in(folder)

    @property
    def through(self) -> bool:
        """All trials have ended, or no plan is left."""
        done = self.exhausted or self.proposed >= self.trials
        return done and not self.live and not self.again

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        return True  # the job's options say it

    def under_way(self) -> int:
        return len(self.live.keys() - self.paused)

    def suggest(self, trial_id: str) -> dict | str | None:
        if self.given_up and not self.records:
            raise BankwiseError(f"the first trials fail, each {1 + self.retries} times over: {self.cause}")
        before = self.proposed, len(self.again), self.exhausted
        config = super().suggest(trial_id)
        if before != (self.proposed, len(self.again), self.exhausted):
            self._save()
        return config

    def on_trial_complete(self, trial_id: str, result: Mapping | None = None, error: bool = False) -> None:
        self.guard(lambda: super(JobSearcher, self).on_trial_complete(trial_id, result, error))

    def fail(self, proposal: Proposal) -> None:
        super().fail(proposal)
        self._save()

    def finish(self, proposal: Proposal) -> None:
        super().finish(proposal)
        names = TrialResult.__dataclass_fields__
        metrics = {name: proposal.last[name] for name in names} | {"epochs": list(proposal.last["epochs"])}
        if proposal.stopped is not None:
            metrics["stopped"] = proposal.stopped
        self.records.append({"plan": proposal.plan.to_dict(), "metrics": metrics})
        self._save()
        self.job.on_result(proposal.number, metrics)

    def lost(self, known: set[str]) -> None:
        """Propose again what no trial of Ray's is under way for."""
        for trial_id in [trial_id for trial_id in self.live if trial_id not in known]:
            self.again.append(self.live.pop(trial_id))

    def guard(self, action: Callable[[], object]) -> None:
        """Keep an error for the end of the step: inside Ray's handling of a result it would count as the trial's."""
        try:
            action()
        except Exception as problem:
            self.problem = self.problem or problem

    def end(self, problem: BaseException) -> None:
        """End the search after the step under way, with that error."""
        self.problem = problem

    def restore(self, checkpoint_path: str) -> None:
        """The journal holds the state; what Ray has saved can be older."""

    def _save(self) -> None:
        write_text(self.job.journal, json.dumps(self.get_state() | {"trials": self.records}))

    def _load(self) -> None:
        journal = self.job.journal
        try:
            saved = json.loads(journal.read_text(encoding="utf-8"))
            self.records = saved["trials"]
            blank = {"live": {}, "again": [], "given_up": [], "proposed": len(self.records), "exhausted": False}
            self.set_state(blank | saved)
        except (ValueError, KeyError, TypeError) as error:
            detail = error if isinstance(error, BankwiseError) else "not a search journal"
            raise BankwiseError(f"{str(journal)!r}: {detail}; delete it to start the search again") from None


class JobCallback(Live, Callback):
    """Tells the job of every epoch, the searcher of what Ray does with its trials; ends the search on a user's mistake.

    `in_brackets`: paused trials leave their place to others, as HyperBand needs it to fill a bracket.
    """

    def __init__(self, searcher: JobSearcher, folder: Path, in_brackets: bool, keep: Callable[[], None]):
        self.searcher, self.in_brackets, self.keep = searcher, in_brackets, keep
        self.started = False
        self.name_in(folder)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info) -> None:
        if not self.started:
            self.searcher.lost({trial.trial_id for trial in trials if not trial.is_finished()})
            self.started = True
        if self.in_brackets:
            self.searcher.paused = {trial.trial_id for trial in trials if trial.status == Trial.PAUSED}

    def on_step_end(self, iteration: int, trials: list[Trial], **info) -> None:
        if self.searcher.problem is not None:
            raise self.searcher.problem

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: dict, **info) -> None:
        proposal = self.searcher.live.get(trial.trial_id)
        if proposal is not None:
            of = result["epoch"], result["last_epoch"]
            epoch = EpochReport(*of, result["loss"], result["epochs"][-1], result["time_this_iter_s"])
            self.searcher.guard(lambda: self.searcher.job.on_epoch(proposal.number, epoch))
            self.searcher.guard(self.keep)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info) -> None:
        for checkpoint in Path(trial.path).glob("checkpoint_*"):
            shutil.rmtree(checkpoint, ignore_errors=True)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info) -> None:
        self._note(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info) -> None:
        self._note(trial)

    def _note(self, trial: Trial) -> None:
        cause = _cause(trial)
        self.searcher.cause = " ".join(f"{type(cause).__name__}: {cause}".split())[:300]
        if isinstance(cause, BankwiseError):
            self.searcher.problem = self.searcher.problem or BankwiseError(str(cause))
        elif isinstance(cause, OSError) and cause.errno in DISK_ERRORS:  # trying again would lose the plan
            self.searcher.problem = self.searcher.problem or cause


def _cause(trial: Trial) -> BaseException:
    """What a trial's latest failure was, as its process raised it; its last line where that cannot be read."""
    try:
        error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
        return getattr(error, "cause", None) or error
    except Exception:  # an error may be of any class, and unpickling it raise anything
        return TuneError((trial.get_error() or "unknown").strip().splitlines()[-1])


class JobStopper(Live, Stopper):
    """Ends trials that the journal knows to be over, and those that are through, before a scheduler pauses them.

    `in_brackets`: HyperBand is to see the last result, or its brackets would never fill.
    """

    def __init__(self, searcher: JobSearcher, folder: Path, in_brackets: bool):
        self.searcher, self.in_brackets = searcher, in_brackets
        self.name_in(folder)

    def __call__(self, trial_id: str, result: Mapping) -> bool:
        through = result["epoch"] >= result["last_epoch"] and not self.in_brackets
        return through or trial_id not in self.searcher.live

    def stop_all(self) -> bool:
        return False
