"""The best plan of an NNI experiment, running or ended, from its trial store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import Price, price
from bankwise.strategies import make_strategy
from bankwise.strategies.engines.nni import listed
from bankwise.strategies.engines.nni.experiment import CONFIG, Experiment
from bankwise.trainers.store import CRASHED, DIED, DIVERGED, FINISHED, INTERRUPTED, RUNNING, TrialRecord


@dataclass(frozen=True)
class Best:
    """The plan of the highest estimate (`Strategy.estimates`), as a search takes its finalists; `accuracy` is the
    measured one, `cost` is priced anew. Of equal estimates it is the smaller file. Plans are counted by how their
    latest trial ended."""

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
    """What became of every plan of the experiment, named as in `best`: finished ones first, that of the highest
    estimate first, of equal ones the smaller file. Raises BankwiseError where there is no such experiment."""
    with code_in_files(allow_code):
        folder = _folder(name)
        experiment = Experiment.read(folder)
        records = experiment.store(folder).records()
        measured = [record for record in records if record.metrics is not None]
        others = [record for record in records if record.metrics is None]
        return _ranked(folder, experiment, measured) + sorted(others, key=lambda record: record.plan.to_yaml())


def metric(name: str, allow_code: bool = False) -> str:
    """What the experiment's trials are measured by, named as in `best`."""
    with code_in_files(allow_code):
        return Experiment.read(_folder(name)).training.metric


def _ranked(folder: Path, experiment: Experiment, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Finished trials, the best first: by what the strategy takes their accuracies for, told in the order of their
    ends. A plan over the budget, of a search space that was edited, and trials of NNI's own tuners count as measured.
    """
    space, name = experiment.budgeted, _strategy(folder)
    values = {record.plan.text: (record.metrics or {})["accuracy"] for record in records}
    if name is not None:
        judge = make_strategy(name, space, experiment.seed)
        told = [one for one in sorted(records, key=lambda record: record.time) if judge.contains(one.plan)]
        for record in told:
            judge.tell(record.plan, record.metrics or {})
        if told:
            plans = [record.plan.text for record in told]
            values |= dict(zip(plans, judge.estimates().tolist(), strict=True))
    size = {record.plan.text: (record.metrics or {}).get("file_bytes", 0) for record in records}
    return sorted(records, key=lambda one: (-values[one.plan.text], size[one.plan.text], one.plan.to_yaml()))


def _strategy(folder: Path) -> str | None:
    """BudgetTuner's, as the experiment's configuration names it; None where a tuner of NNI's own proposes."""
    try:
        named = yaml.safe_load((folder / CONFIG).read_bytes())["tuner"]["classArgs"]["strategy"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None
    return named if isinstance(named, str) else None


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
    chosen = _ranked(folder, experiment, found)[0]
    cost = price(experiment.shape, chosen.plan)
    numbers = (counts[FINISHED], failed, counts[INTERRUPTED], counts[RUNNING])
    return Best(folder, experiment, chosen.plan, (chosen.metrics or {})["accuracy"], cost, *numbers)
