"""The folder of a run: settings, summary, plans, ledgers, metrics and trials; and that of an NNI experiment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

from bankwise.cli.output import results_table
from bankwise.reading_back import evaluate
from bankwise.report.gather import read_run
from bankwise.report.view import run_view
from bankwise.run_folder import RunFolder
from bankwise.search_settings import SearchSettings
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.strategies.engines.nni.results import best
from bankwise.strategies.ledger import Ledger
from bankwise.trainers.data import ImageData
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import TrialStore
from bankwise.trainers.task import Task, TaskSource
from fuzz.kinds.kind import Kind
from fuzz.mutate import as_json, damaged, spoiled, spoiled_text

SETTINGS = ("settings.json", "summary.json", "plan.yaml", "uniform.yaml")
JOURNALS = ("search/ledger.jsonl", "uniform/ledger.jsonl", "metrics.jsonl", "trial")


class Folders(Kind):
    """A run with one file that is not as it was written."""

    def __init__(self, name: str, run: Path, files: tuple[str, ...], data: ImageData, space: BudgetedSpace):
        self.name, self.run, self.files, self.data, self.space = name, run, files, data, space

    def write(self, place: Path, rng: Random) -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.run, place, ignore=shutil.ignore_patterns("*.pt", "plots", "report.html"))
        name = rng.choice(self.files)
        path = next(place.glob("search/trials/*/trial.json")) if name == "trial" else place / name
        path.write_bytes(_spoiled(path, rng))

    def read(self, place: Path) -> None:
        """As a resumed search, `report` and `evaluate` do; each reads what the others may not."""
        failed = None
        for look in (self._report, self._journal if self.files == JOURNALS else self._evaluate):
            try:
                look(place)
            except BankwiseError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _report(self, place: Path) -> None:
        run = read_run(place)
        run_view(run)
        results_table(run.to_dict())
        run._repr_html_()

    def _journal(self, place: Path) -> None:
        folder = RunFolder(place)
        folder.check(folder.read(folder.settings))
        folder.log("search 0", {"phase": "search"})
        TrialStore(place / "search" / "trials").records()
        strategy = make_strategy("evolution", self.space, 0)
        with Ledger(place / "search" / "ledger.jsonl", strategy, 20) as ledger:
            ledger.ask()

    def _evaluate(self, place: Path) -> None:
        evaluate(place / "model.bankwise", self.data)


def _spoiled(path: Path, rng: Random) -> bytes:
    data, kind = path.read_bytes(), rng.randrange(4)
    if kind == 0:
        return damaged(data, rng)
    if kind == 1:
        return spoiled_text(data, rng)
    if path.suffix == ".jsonl":
        lines = data.splitlines()
        at = rng.randrange(len(lines))
        lines[at] = as_json(spoiled(json.loads(lines[at]), rng))
        return b"\n".join(lines) + b"\n"
    if path.suffix == ".json":
        return as_json(spoiled(json.loads(data), rng))
    return spoiled_text(data, rng)


def settings(run: Path, task: Task, budgeted: BudgetedSpace) -> Folders:
    return Folders("settings", run, SETTINGS, task.data, budgeted)


def journals(run: Path, task: Task, budgeted: BudgetedSpace) -> Folders:
    return Folders("journals", run, JOURNALS, task.data, budgeted)


class Experiments(Kind):
    """bankwise.json of an NNI experiment, read as `bankwise nni export` does."""

    name = "experiments"

    def __init__(self, folder: Path):
        self.folder = folder
        made = Experiment(TaskSource("tiny", "digits", limit=200), Recipe(epochs=1), "1000", (1, 8, 8), 10)
        made.write(folder)

    def write(self, place: Path, rng: Random) -> None:
        path = self.fresh(place) / "bankwise.json"
        path.write_bytes((self.folder / path.name).read_bytes())
        path.write_bytes(_spoiled(path, rng))

    def read(self, place: Path) -> None:
        best(str(place))


def budgeted_space(run: Path, task: Task) -> BudgetedSpace:
    """That of the run's search."""
    settings = SearchSettings()
    return BudgetedSpace(SearchSpace(task.shape, settings.space), Budget.parse("1200", task.shape))
