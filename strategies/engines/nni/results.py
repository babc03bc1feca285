"""The best plan of an NNI experiment, running or ended, from its trial store."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import Price, price
from bankwise.strategies.engines.nni import listed
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.trainers.store import CRASHED, DIED, DIVERGED, FINISHED, INTERRUPTED, RUNNING, TrialRecord


@dataclass(frozen=True)
class Best:
    """`cost` is priced anew; of equal accuracies it is the smaller file. Plans are counted by how their latest trial
    ended."""

    folder: Path
    experiment: Experiment
    plan: Plan
    accuracy: float
    cost: Price
    finished: int
    failed: int
    cancelled: int
    running: int


def best(name: str, allow_code: bool = False) -> Best:
    """Of the experiment's folder `name`, or of the folder that the NNI experiment of that id works in, over all NNI
    experiments that used it. What the folder names of code of a user's own is imported with `allow_code` alone. Raises
    BankwiseError where there is none, or no finished trial."""
    with code_in_files(allow_code):
        return best_of_folder(_folder(name))


def trials(name: str, allow_code: bool = False) -> list[TrialRecord]:
    """What became of every plan of the experiment, named as in `best`: finished ones first, the best of them first, of
    equal accuracies the smaller file. Raises BankwiseError where there is no such experiment."""
    with code_in_files(allow_code):
        folder = _folder(name)
        records = Experiment.read(folder).store(folder).records()
    return sorted(records, key=_rank)


def metric(name: str, allow_code: bool = False) -> str:
    """What the experiment's trials are measured by, named as in `best`."""
    with code_in_files(allow_code):
        return Experiment.read(_folder(name)).training.metric


def _rank(record: TrialRecord) -> tuple[float, float, str]:
    metrics = record.metrics or {"accuracy": -math.inf}
    return -metrics["accuracy"], metrics.get("file_bytes", 0), record.plan.to_yaml()


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    try:
        return listed.folder(name)
    except BankwiseError as error:
        raise BankwiseError(f"{name!r} is not the folder of an experiment, and {error}") from None


def best_of_folder(folder: Path) -> Best:
    experiment = Experiment.read(folder)
    space, records = experiment.budgeted, experiment.store(folder).records()
    counts = Counter(record.status for record in records)
    failed = counts[DIVERGED] + counts[CRASHED] + counts[DIED]
    found = [record for record in records if record.metrics is not None and space.fits(space.indices(record.plan))]
    if not found:
        raise BankwiseError(
            f"{str(folder)!r} has no finished trial yet "
            f"({counts[RUNNING]} running, {failed} failed, {counts[INTERRUPTED]} cancelled)"
        )
    chosen = min(found, key=_rank)
    cost = price(experiment.shape, chosen.plan)
    numbers = (counts[FINISHED], failed, counts[INTERRUPTED], counts[RUNNING])
    return Best(folder, experiment, chosen.plan, (chosen.metrics or {})["accuracy"], cost, *numbers)
