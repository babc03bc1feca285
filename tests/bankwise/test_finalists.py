"""Which plan is exported: the best finalist, searched or uniform, by the mean of its full trainings."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import numpy as np
import pytest

from bankwise.choosing import Choosing
from bankwise.deadline import Deadline
from bankwise.run_folder import RunFolder
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.searching import SearchSettings
from bankwise.side_by_side import FullTraining
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.evolution import Evolution
from bankwise.strategies.trials import Trials
from bankwise.trainers.loop import Diverged
from bankwise.trainers.recipe import Recipe


def ranked(folder: Path, phase: str) -> list[Plan]:
    """The plans of a phase's trials, the best first."""
    records = Trials.read(folder / phase / "ledger.jsonl").results
    return [record.plan for record in sorted(records, key=lambda record: -record.metrics["accuracy"])]


def means(folder: Path) -> list[tuple[float, str, Plan]]:
    """Of every finalist the mean over its seeds, 0 and, where 1 and 2 are the final ones, 3."""
    found = []
    for phase in ("search", "uniform"):
        for rank, plan in enumerate(ranked(folder, phase)[:2]):
            files = [folder / "checkpoints" / f"{phase}-finalist-{rank}-seed{seed}.json" for seed in (0, 3)]
            found.append((fmean(json.loads(file.read_text())["accuracy"] for file in files), phase, plan))
    return found


def test_the_best_mean_of_all_finalists_is_exported(finished):
    folder, outcome = finished
    measured = means(folder)
    best, phase, plan = max(measured, key=lambda one: one[0])
    assert Plan.read(folder / "plan.yaml") == plan
    uniform = max((one for one in measured if one[1] == "uniform"), key=lambda one: one[0])
    assert Plan.read(folder / "uniform.yaml") == uniform[2]
    # evolution tries the best uniform plan too: it is called uniform then
    assert outcome.json["found_by"] == ("uniform" if phase == "uniform" or plan == uniform[2] else "evolution")


def test_a_uniform_plan_that_none_searched_beat_is_exported_and_named(cli, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    for path in (folder / "checkpoints").glob("uniform-finalist-1-*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"accuracy": 1.0}))
    for path in [folder / "summary.json", *(folder / "checkpoints").glob("searched-*"),
                 *(folder / "checkpoints").glob("uniform-[0-9]*")]:  # fmt: skip
        path.unlink()
    summary = cli.call(*cli.search, "--out", folder).json
    assert summary["found_by"] == "uniform" and summary["strategy"] == "evolution"
    assert Plan.read(folder / "plan.yaml") == Plan.read(folder / "uniform.yaml") == ranked(folder, "uniform")[1]
    assert summary["accuracies"] == summary["baseline_uniform"]["accuracies"]
    shown = cli.call(*(word for word in cli.search if word != "--json"), "--out", folder)
    assert "this plan: uniform, none searched was better" in shown.out
    assert "The exported plan is a uniform one" in (folder / "report.html").read_text()


@pytest.fixture
def choosing(tmp_path):
    """Two plans a phase; full trainings of those that `diverging` names diverge, others give the accuracy 0.5."""

    def make(*diverging: str) -> Choosing:
        class Trainings:
            asked: list[str] = []

            @staticmethod
            def of_plan(phase, label, plan, seed, unit, teacher):
                return FullTraining(phase, unit, label, Recipe(), Path(), None, plan, Path())

            @classmethod
            def ahead(cls, trainings):
                cls.asked += [one.label for one in trainings]

            @classmethod
            def full(cls, one):
                assert one.label in cls.asked
                if one.label.startswith(diverging):
                    raise Diverged("the training diverged: the loss is nan in epoch 1")
                return {"accuracy": 0.5}

            @staticmethod
            def meter(work, done, text):
                assert text.startswith("finalist ") and "the loss is nan" in text

        made = Choosing(SearchSettings(seeds=1), Trainings(), None, None, Deadline(None, {}))
        plans = {phase: [replace(PLAN, vector_bits=bits) for bits in sizes] for phase, sizes in BITS.items()}
        object.__setattr__(made, "finalists", lambda trials: plans[trials.phase])
        object.__setattr__(made, "ended", lambda trials: "all trials were made")
        return made

    return make


PLAN = Plan("tiny", (1, 8, 8), 10, {})
BITS = {"search": (8, 16), "uniform": (32, 4)}


@pytest.mark.parametrize(
    ("diverging", "plan", "uniform"),
    [
        ((), 8, 32),
        (["search-finalist-0"], 16, 32),
        (["search-finalist-0-seed2"], 16, 32),
        (["search"], 32, 32),
        (["uniform-finalist-0", "search"], 4, 4),
        (["uniform"], 8, None),
    ],
)
def test_a_finalist_that_diverges_is_not_chosen(choosing, diverging, plan, uniform):
    chosen = choosing(*diverging or ["none"]).run()
    assert chosen.plan.vector_bits == plan
    assert (chosen.uniform and chosen.uniform.vector_bits) == uniform


def test_where_all_diverge_that_is_said(choosing):
    with pytest.raises(BankwiseError, match="the full trainings of all finalists diverged; try a smaller lr"):
        choosing("search", "uniform").run()


@pytest.mark.parametrize("strategy", ["evolution", "cautious"])
def test_finalists_are_the_plans_of_the_highest_estimates(monkeypatch, tmp_path, strategy):
    """Those of the highest accuracies, unless the strategy says otherwise; they may be told in any order. The folder
    names them."""
    space = BudgetedSpace(SearchSpace(shape_of("tiny", (1, 8, 8), 10)), Budget(1300))
    rng = np.random.default_rng(0)
    plans = [space.plan(space.sample(rng)) for _ in range(5)]
    finished = [(plan, {"accuracy": accuracy}) for plan, accuracy in zip(plans, (0.2, 0.9, 0.5, 0.7, 0.1), strict=True)]
    if strategy == "cautious":
        monkeypatch.setattr(Evolution, "estimates", lambda self: np.array([-accuracy for _, accuracy in self.results]))

    class Tried:
        phase, strategy = "search", "evolution"

        @staticmethod
        def run(*arguments):
            return finished

    trainings = SimpleNamespace(folder=RunFolder(tmp_path))
    choosing = Choosing(SearchSettings(finalists=3), trainings, space, None, Deadline(None, {}))
    expected = [plans[i] for i in ([1, 3, 2] if strategy == "evolution" else [4, 0, 2])]
    assert choosing.finalists(Tried()) == expected
    named = json.loads((tmp_path / "search" / "finalists.json").read_text())["plans"]
    assert named == [list(plan.codes.values()) for plan in expected]


def test_full_trainings_are_planned_for_every_finalist_and_seed():
    settings = SearchSettings(finalists=3, finalist_seeds=2, recipe=Recipe(epochs=5))
    work = settings.work("tiny")
    assert work["search finalists"] == work["uniform finalists"] == 3 * 2 * 5
    assert list(work)[3:7] == ["search", "uniform", "search finalists", "uniform finalists"]
    assert "uniform finalists" not in SearchSettings(strategy="uniform").work("tiny")
