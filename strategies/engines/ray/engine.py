"""The Ray engine: a job's trials on Ray Tune, on this machine or on a cluster.

What a search knows lies in the job's ledger and in its trial store. A search that was killed starts a new `tune.Tuner`
over the trials that have not ended; Ray's own state is never read again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.strategies.engines.job import TRIALS, Job
from bankwise.strategies.engines.on_ray import RayOptions
from bankwise.strategies.engines.ray.cluster import check_resources, cluster, one_line
from bankwise.strategies.engines.ray.schedulers import make_scheduler
from bankwise.strategies.engines.ray.searcher import BudgetSearcher
from bankwise.strategies.engines.ray.surroundings import interruptible, quiet
from bankwise.strategies.engines.ray.trainable import CHECKPOINT, REFUSED, make_trainable
from bankwise.strategies.trials import Record
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.store import TrialStore

EXPERIMENT = "ray"  # below the job's folder: Ray's logs of every trial, and its state while it runs
PREFIX = "trial-"  # of a trial's folder there


def run_ray(job: Job, options: RayOptions | None = None) -> list[Record]:
    """Run the job's trials, `options.workers` at a time; the records of its trials in the order of their ends.

    With one worker and no scheduler they are the local engine's, to the bit where torch has as many threads (Ray gives
    a trial one for each of its CPUs; `Recipe.threads` says it otherwise). A trial that the scheduler ended early has
    the metrics of its last epoch, and that epoch as `stopped`. On a cluster every node must reach the job's folder. A
    trial whose process or node died goes on from its checkpoint, as often as the ledger has failed trials tried again.

    Raises SearchFailed where the first trials all failed, BankwiseError for bad input and where there is no Ray.
    """
    options = options or RayOptions()
    folder = job.folder.resolve()
    with one_line(folder), quiet():
        searcher = JobSearcher(job, TrialStore(folder / TRIALS), options)
        try:
            if not searcher.ledger.done:
                with cluster(options, folder / "ray-folder.txt") as page:
                    if page:
                        job.tell(f"Ray's web page: http://{page}")
                    check_resources(options)
                    if not options.gpus and ray.cluster_resources().get("GPU"):
                        warnings.warn("Ray has GPUs here, but its trials are given none: ask for gpu=1", stacklevel=2)
                    with interruptible(searcher.end):
                        _fit(job, options, folder / EXPERIMENT, searcher)
            searcher.ledger.check()
            return searcher.ledger.records
        finally:
            searcher.ledger.close()


def check_ray(options: RayOptions) -> None:
    """Raises BankwiseError where the options cannot be met, as far as can be seen before Ray is started or at its
    `address`."""
    if options.address is not None or ray.is_initialized():
        with quiet(), cluster(options):
            check_resources(options)
    elif options.gpus > (found := torch.cuda.device_count()):
        raise BankwiseError(f"resources gpu={options.gpus:g} of a trial: this machine has {found} GPUs")


def _fit(job: Job, options: RayOptions, experiment: Path, searcher: JobSearcher) -> None:
    resources = {"cpu": options.cpus} | ({"gpu": options.gpus} if options.gpus else {})
    tune.Tuner(
        make_trainable(job.task, job.recipe, job.strategy.space, resources, searcher.store),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=make_scheduler(options.scheduler, job.recipe.epochs, metric="accuracy", mode="max"),
            num_samples=-1,  # the searcher says when it has no more
            reuse_actors=True,  # a process of its own for each trial takes seconds to start
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=experiment.name,
            storage_path=str(experiment.parent),
            # before a scheduler pauses it; HyperBand is to see the last result, or its brackets would never fill
            stop=None if options.scheduler == "hyperband" else {"epoch": job.recipe.epochs},
            callbacks=[JobCallback(searcher)],
            failure_config=tune.FailureConfig(max_failures=0),  # the ledger has failed trials tried again
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            verbose=0,
        ),
    ).fit()
    if searcher.problem is not None:
        raise searcher.problem


def _trial_name(trial: Trial) -> str:
    return f"{PREFIX}{trial.trial_id}"


class JobSearcher(BudgetSearcher):
    """Proposes the job's plans, `options.workers` trials at a time, paused ones not counted."""

    def __init__(self, job: Job, store: TrialStore, options: RayOptions):
        super().__init__(job.strategy, job.trials, journal=job.ledger, may_begin=job.may_begin, on_begin=job.on_begin)
        store.folder.mkdir(exist_ok=True)
        self.job, self.store = job, store
        self.at_once = options.workers + (options.scheduler == "hyperband")  # so that no bracket seems complete
        self.of_ray: dict[str, Trial] = {}
        self.problem: BaseException | None = None

    def occupied(self) -> int:
        """Paused trials leave their place to others, as HyperBand needs it to fill a bracket."""
        return sum(
            trial_id not in self.of_ray or self.of_ray[trial_id].status != Trial.PAUSED for trial_id in self.running
        )

    def suggest(self, trial_id: str) -> Any:
        config = None if self.problem else self.guard(lambda: super(JobSearcher, self).suggest(trial_id))
        return Searcher.FINISHED if self.problem else config  # for None, Ray would ask for ever

    def end_trial(self, trial_id: str, number: int, last: Mapping[str, Any], error: bool) -> None:
        if last.get("status") == REFUSED:  # bad input or a full disk: not the trial's fault
            self.end(BankwiseError(last["reason"]))
        elif self.problem is None:  # else it was ended with the search, and is the next to be tried
            self.guard(lambda: self._enter(trial_id, number, last, error))

    def _enter(self, trial_id: str, number: int, last: Mapping[str, Any], error: bool) -> None:
        before, plan = len(self.ledger.records), self.ledger.plans[number]
        if error and "reason" not in last:
            last = {**last, "reason": self._reason(self.of_ray.get(trial_id), plan)}
        super().end_trial(trial_id, number, last, error)
        if ended := self.ledger.records[before:]:
            place = self.store.place(plan, self.job.recipe)
            (place / CHECKPOINT).unlink(missing_ok=True)  # a trial that a scheduler ended has left it
        self.job.report(ended)

    def _reason(self, trial: Trial | None, plan: Plan) -> str:
        """Why a trial ended that could not say so itself: Ray's last line where it had not begun."""
        begun = self.store.record(plan, self.job.recipe) is not None
        lines = [] if begun or trial is None else str(trial.get_error() or "").split("\n")
        return ["its process died", *filter(None, map(str.strip, lines))][-1][:300]

    def guard(self, action: Callable[[], object]) -> object:
        """Keep an error for the end of the step: inside Ray's handling of a result it would count as the trial's."""
        try:
            return action()
        except Exception as problem:
            self.end(problem)
            return None

    def end(self, problem: BaseException) -> None:
        """End the search after the current step, with that error."""
        self.problem = self.problem or problem

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()  # Ray pickles its settings; nothing reads them


class JobCallback(tune.Callback):
    """Reports every epoch to the job, and ends the search where there is a problem."""

    def __init__(self, searcher: JobSearcher):
        self.searcher = searcher
        self.epochs: dict[int, int] = {}  # of each trial, the last one reported

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.searcher.of_ray = {trial.trial_id: trial for trial in trials}

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self.searcher.problem is not None:
            raise self.searcher.problem

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        number = self.searcher.running.get(trial.trial_id)
        if number is None or result["epoch"] <= self.epochs.get(number, 0):
            return
        self.epochs[number] = result["epoch"]
        values = result["epoch"], result["last_epoch"], result["loss"], result["epochs"][-1], result["epoch_seconds"]
        self.searcher.guard(lambda: self.searcher.job.on_epoch(number, EpochReport(*values)))
