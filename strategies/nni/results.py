"""The best plan of an NNI experiment, running or ended, from the trials' own records or from NNI's database."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from search_space.errors import BankwiseError
from search_space.plan import Plan
from search_space.price import Price, price
from strategies.nni import attempts, database
from strategies.nni.experiment import FILE, Experiment
from strategies.nni.points import Indices, Points
from strategies.nni.records import records


@dataclass(frozen=True)
class Best:
    """`cost` is priced anew; of equal accuracies it is the smaller file. Trials are counted by how they ended, as the
    trials themselves say, or NNI where `experiment` was named."""

    folder: Path
    experiment: Experiment
    plan: Plan
    accuracy: float
    cost: Price
    finished: int
    failed: int
    cancelled: int
    running: int


def best(name: str) -> Best:
    """Of the experiment's folder `name`, or of the experiment that NNI knows by that id."""
    if (Path(name) / FILE).exists():
        return best_of_folder(Path(name))
    if Path(name).is_dir():
        Experiment.read(Path(name))
    try:
        found = database.find(name)
    except BankwiseError as error:
        raise BankwiseError(f"{name!r} is not the folder of an experiment, and {error}") from None
    return best_of_experiment(found)


def best_of_folder(folder: Path) -> Best:
    """Over all NNI experiments that used the folder."""
    experiment = Experiment.read(folder)
    space = experiment.budgeted
    found = []
    for record in records(folder):
        plan = tuple(int(i) for i in space.indices(record.plan))
        if space.fits(plan):
            found.append((plan, record.metrics["accuracy"]))
    states = Counter(attempt.state for attempt in attempts.attempts(folder))
    failed = states[attempts.FAILED] + states[attempts.DIED]
    cancelled = states[attempts.CANCELLED] + states[attempts.STOPPED]
    return _best(folder, experiment, found, failed, cancelled, states[attempts.RUNNING])


def best_of_experiment(path: Path) -> Best:
    """By NNI's database in its folder `path`. A trial that a signal killed counts as cancelled there."""
    service = database.config(path).get("trainingService") or {}
    folder = Path(service.get("trialCodeDirectory") or "")
    if not (folder / FILE).exists():
        raise BankwiseError(f"NNI experiment {path.name!r} is none of bankwise: no {FILE} in {str(folder)!r}")
    experiment = Experiment.read(folder)
    points = Points(experiment.budgeted)
    jobs = database.trial_jobs(path)
    found = []
    for job in jobs:
        if isinstance(job.final, dict) and job.status == "SUCCEEDED":
            plan, accuracy = points.read(str(job.final.get("plan"))), job.final.get("default")
            if isinstance(accuracy, int | float) and math.isfinite(accuracy):
                found.append((plan, accuracy))
    states = Counter(job.status for job in jobs)
    cancelled = sum(states[name] for name in ("USER_CANCELED", "EARLY_STOPPED", "SYS_CANCELED"))
    running = sum(states[name] for name in (database.WAITING, database.RUNNING, database.RESUMED))
    return _best(folder, experiment, found, states["FAILED"], cancelled, running)


def _best(
    folder: Path,
    experiment: Experiment,
    found: Iterable[tuple[Indices, float]],
    failed: int,
    cancelled: int,
    running: int,
) -> Best:
    space, found = experiment.budgeted, dict(found)
    if not found:
        raise BankwiseError(
            f"{str(folder)!r} has no finished trial yet ({running} running, {failed} failed, {cancelled} cancelled)"
        )
    plan = min(found, key=lambda one: (-found[one], space.cost(one), one))
    cost = price(experiment.shape, space.plan(plan))
    return Best(folder, experiment, space.plan(plan), found[plan], cost, len(found), failed, cancelled, running)
