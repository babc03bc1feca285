"""The NNI engine: a job as an NNI experiment on this machine, with NNI's web page, trials in processes of their own."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from search_space.errors import BankwiseError, unknown
from search_space.files import write_text
from strategies.job import EngineOptions, Job
from strategies.nni import attempts, database, manager
from strategies.nni.config import Launch, write_folder
from strategies.nni.experiment import FILE, Experiment
from strategies.nni.manager import Manager
from strategies.nni.points import Points
from strategies.nni.records import records
from strategies.nni.search import GIVEN, STATE
from strategies.nni.source import anywhere
from strategies.nni.told import Told
from trainers.checkpoint import save_checkpoint

NOTE = "nni.json"  # in the folder: the experiment's id, and whether it is through
POLL = 1.0
QUIET = 5.0  # seconds without a trial before one asks whether there are more to come
STALL = 300.0  # seconds without a trial before the tuner is taken for dead
SCHEDULERS = {None: "none", "none": "none", "median": "Medianstop", "curvefitting": "Curvefitting"}
ENDED = ("DONE", "STOPPED")


def run_nni(job: Job, options: EngineOptions | None = None) -> list[dict]:
    """Run the job's trials, `options.workers` at a time; the records of the finished ones in the order of their ends.

    The folder of the journal's name is an NNI experiment's (`strategies.nni.experiment`); `bankwise nni export` reads
    it. With one worker and no scheduler the plans are the local engine's. A plan whose trial died is tried twice more;
    each try is one of the job's trials, since NNI counts processes. Interrupted, the experiment is stopped; called
    again it is resumed, or followed where it still runs.
    """
    options = options or EngineOptions()
    check_nni(options)
    folder = job.journal.with_suffix("").absolute()
    experiment = describe(job)
    _write(folder, experiment, job, options)
    note = _note(folder)
    if not note.get("through"):
        with _running(folder, note.get("id"), options.port) as running:
            _follow(running, folder, job)
        write_text(folder / NOTE, json.dumps({"id": running.id, "through": True}))
    found = [{"plan": one.plan.to_dict(), "metrics": one.metrics} for one in records(folder)]
    if not found:
        raise BankwiseError(f"no trial has finished{_reason(folder)}; their output lies below ~/nni-experiments")
    return found


def check_nni(options: EngineOptions) -> None:
    """An error where the options cannot be met."""
    if options.scheduler not in SCHEDULERS:
        raise unknown("scheduler of NNI", options.scheduler, [name for name in SCHEDULERS if name])
    for name in ("address", "cpus", "gpus"):
        if getattr(options, name) != getattr(EngineOptions(), name):
            raise BankwiseError(f"{name} {getattr(options, name)} is for Ray: NNI's trials take what the machine has")


def describe(job: Job) -> Experiment:
    """The job in plain values. An error where there are none: data in memory alone, or a space cut by hand."""
    if job.source is None:
        raise BankwiseError("the nni engine needs data that another process can read: give their name, not the data")
    source, code = anywhere(job.source)
    limited = job.strategy.space
    peaks = limited.space.prices.merge_peak_bytes
    allowed = [row[kept] for row, kept in zip(peaks, limited.allowed, strict=True)]
    cut = any(len(row) < len(of) for row, of in zip(allowed, peaks, strict=True))
    experiment = Experiment(
        source=source,
        budget=str(limited.budget.bytes),
        input_shape=job.task.shape.input_shape,
        classes=job.task.shape.classes,
        accounting=limited.budget.accounting,
        max_ram=max(int(row.max()) for row in allowed) if cut else None,  # allows the same choices
        max_ops=limited.max_ops,
        space=limited.space.settings,
        trial_epochs=job.recipe.epochs,
        teacher=job.task.teacher is not None,
        seed=job.recipe.seed,
        code=code,
    )
    if Points(experiment.budgeted).codes != Points(limited).codes:
        raise BankwiseError("the nni engine needs a search space as SpaceSettings describes it, not one cut by hand")
    if experiment.recipe != job.recipe:
        raise BankwiseError("the nni engine's trials take the recipe of the task's source, but for epochs and seed")
    return experiment


def _write(folder: Path, experiment: Experiment, job: Job, options: EngineOptions) -> None:
    launch = Launch(
        strategy=job.strategy.name,
        trials=job.trials,
        concurrency=options.workers,
        assessor=SCHEDULERS[options.scheduler],
    )
    fresh = not (folder / FILE).exists()
    write_folder(folder, experiment, launch)
    if job.task.teacher is not None and not (folder / "teacher-weights.pt").exists():
        save_checkpoint(folder / "teacher-weights.pt", {"model": job.task.teacher.state_dict()})
    if fresh or not (folder / GIVEN).exists():
        write_text(folder / GIVEN, json.dumps(job.strategy.state_dict()))


def _note(folder: Path) -> dict:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((folder / NOTE).read_text(encoding="utf-8")))
    return {}


@contextlib.contextmanager
def _running(folder: Path, id: str | None, port: int) -> Iterator[Manager]:
    """The experiment's manager: the one that runs, resumed, or new. It ends with the block."""

    def note(name: str) -> None:
        write_text(folder / NOTE, json.dumps({"id": name}))

    running = None if id is None else manager.attach(id)
    if running is None:
        running = manager.start(folder / "config.yml", port, note, id if id in database.experiments() else None)
    try:
        yield running
    finally:
        running.stop()


def _follow(running: Manager, folder: Path, job: Job) -> None:
    """Until every trial has ended; epochs and results are told as they come. An error where NNI cannot go on."""
    place = database.find(running.id)
    told = Told(job, folder, place)
    moved = time.monotonic()
    while True:
        jobs = told.look()
        try:
            status, errors = running.status()
        except (OSError, ValueError):
            if not running.lives():
                raise BankwiseError(f"NNI's manager has ended{_advice(place)}") from None
            status, errors = "", []
        if status in ENDED:
            told.look()
            return
        if status == "ERROR":
            raise BankwiseError(f"NNI's experiment {running.id} failed: {'; '.join(errors)}{_advice(place)}")
        if any(one.status in (database.WAITING, database.RUNNING, database.RESUMED) for one in jobs):
            moved = time.monotonic()
        still = time.monotonic() - moved
        if still > QUIET and _exhausted(place):
            return
        if still > STALL:
            raise BankwiseError(f"NNI's experiment {running.id} stands still: its tuner has died{_advice(place)}")
        time.sleep(POLL)


def _exhausted(place: Path) -> bool:
    """Whether the strategy has no further plan: NNI would wait for another one for ever."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        state = json.loads((place / "checkpoint" / STATE).read_text(encoding="utf-8"))
        return bool(state["exhausted"]) and not state["queue"]
    return False


def _reason(folder: Path) -> str:
    messages = [one.message for one in attempts.attempts(folder) if one.message]
    return f" ({messages[-1]})" if messages else ""


def _advice(place: Path) -> str:
    return f"; {place / 'log'} says why; the same command goes on from there"
