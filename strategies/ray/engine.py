"""The Ray engine: a job's trials on Ray Tune, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from search_space.errors import BankwiseError
from search_space.files import write_text
from strategies.job import EngineOptions, Job
from strategies.ray.cluster import check_resources, cluster, one_line
from strategies.ray.journal import JobCallback, JobSearcher, JobStopper
from strategies.ray.live import Live, forget
from strategies.ray.schedulers import asha_settings, check_scheduler, make_scheduler
from strategies.ray.surroundings import interruptible, quiet
from strategies.ray.trainable import make_trainable

EXPERIMENT = "ray"  # below the job's folder: Ray's logs, checkpoints and state
FAILURES = 1  # times that Ray goes on with a failed trial from its latest checkpoint
METRIC = {"metric": "accuracy", "mode": "max"}
CHECKPOINTS = 2  # kept of a trial under way


def run_ray(job: Job, options: EngineOptions | None = None) -> list[dict]:
    """Run the job's trials, `options.workers` at a time; the records are like the local engine's.

    With one worker and no scheduler they are the local engine's, to the bit where torch has as many threads (Ray gives
    a trial one for each of its CPUs; `Recipe.threads` says it otherwise). A trial that the scheduler ended early has
    the metrics of its last epoch, and that epoch as `stopped`. The folder of the journal's name holds Ray's experiment
    (TensorBoard and CSV logs of every trial, their checkpoints); on a cluster every node must reach it. A trial whose
    process died goes on from its checkpoint once; then its plan is tried anew once; then it is given up.
    """
    options = options or EngineOptions()
    check_scheduler(options.scheduler)
    folder = job.journal.with_suffix("").resolve()
    waiting = options.scheduler == "hyperband"  # one more trial, so that no bracket seems complete
    searcher = JobSearcher(job, folder, options.workers + waiting)
    try:
        if not searcher.through:
            with quiet(), cluster(options, folder / "ray-folder.txt"), one_line(folder):
                check_resources(options)
                if not options.gpus and ray.cluster_resources().get("GPU"):
                    warnings.warn("Ray has GPUs here, but its trials are given none: ask for gpu=1", stacklevel=2)
                with interruptible(searcher.end):
                    _fit(job, options, folder, searcher)
    finally:
        forget(folder)
    if searcher.given_up and not searcher.records:
        raise BankwiseError(f"every trial failed: {searcher.cause}; details lie below {str(folder / EXPERIMENT)!r}")
    return searcher.records


def check_ray(options: EngineOptions) -> None:
    """An error where the options cannot be met, as far as can be seen before Ray is started or at its `address`."""
    check_scheduler(options.scheduler)
    if options.address is not None or ray.is_initialized():
        with quiet(), cluster(options):
            check_resources(options)
    elif options.gpus > (found := torch.cuda.device_count()):
        raise BankwiseError(f"resources gpu={options.gpus:g} of a trial: this machine has {found} GPUs")


def _fit(job: Job, options: EngineOptions, folder: Path, searcher: JobSearcher) -> None:
    """Go on with Ray's experiment where it is one of the same options; what it then lacks goes to a new one."""
    in_brackets = options.scheduler == "hyperband"
    resources = {"cpu": options.cpus} | ({"gpu": options.gpus} if options.gpus else {})
    trainable = make_trainable(job.task, job.recipe, job.strategy.space, resources)
    scheduler, keep = _scheduler(options.scheduler, job.recipe.epochs, folder)
    stopper = JobStopper(searcher, folder, in_brackets)
    note, same = folder / "options.json", json.dumps({**resources, "scheduler": options.scheduler})
    if note.exists() and note.read_text(encoding="utf-8") == same:
        JobCallback(searcher, folder, in_brackets, keep)  # found by the experiment under its name
        if (tuner := _restored(folder / EXPERIMENT, trainable)) is not None:
            tuner.fit()
    write_text(note, same)
    if not searcher.through:
        run_config = _run_config(folder, stopper, JobCallback(searcher, folder, in_brackets, keep))
        tune.Tuner(trainable, tune_config=_tune_config(searcher, scheduler), run_config=run_config).fit()


def _tune_config(searcher: JobSearcher, scheduler: TrialScheduler | None) -> tune.TuneConfig:
    return tune.TuneConfig(
        search_alg=searcher,
        scheduler=scheduler,
        num_samples=-1,  # the searcher says when it has no more
        reuse_actors=True,  # a process of its own for each trial takes seconds to start
        trial_name_creator=_trial_name,
        trial_dirname_creator=_trial_name,
    )


def _run_config(folder: Path, stopper: JobStopper, callback: JobCallback) -> tune.RunConfig:
    return tune.RunConfig(
        name=EXPERIMENT,
        storage_path=str(folder),
        stop=stopper,
        callbacks=[callback],
        failure_config=tune.FailureConfig(max_failures=FAILURES),
        checkpoint_config=tune.CheckpointConfig(num_to_keep=CHECKPOINTS),
        verbose=0,
    )


def _trial_name(trial: Trial) -> str:
    return f"trial-{trial.trial_id}"


def _restored(experiment: Path, trainable: Callable[[dict], None]) -> tune.Tuner | None:
    """Ray's experiment, to be gone on with; None where there is none that can be read."""
    if not tune.Tuner.can_restore(str(experiment)):
        return None
    try:
        return tune.Tuner.restore(str(experiment), trainable)
    except Exception:  # cut off while it was written: whatever unpickling says
        return None


class JobASHA(Live, ASHAScheduler):
    """ASHA whose rungs outlive a kill."""


def _scheduler(name: str | None, epochs: int, folder: Path) -> tuple[TrialScheduler | None, Callable[[], None]]:
    """The scheduler, and a function that keeps its state: ASHA's alone can be, the others judge anew after a kill."""
    if name != "asha":
        return make_scheduler(name, epochs, **METRIC), lambda: None
    scheduler, kept = JobASHA(**asha_settings(epochs), **METRIC), folder / "asha.pkl"
    with contextlib.suppress(Exception):  # none, or cut off: the rungs start empty
        scheduler.restore(str(kept))
    scheduler.name_in(folder)

    def keep() -> None:
        scheduler.save(f"{kept}.new")
        os.replace(f"{kept}.new", kept)

    return scheduler, keep
