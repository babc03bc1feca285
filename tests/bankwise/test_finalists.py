"""Which plan is exported: the best finalist, searched or uniform, by the mean of its full trainings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import fmean

from bankwise.searching import SearchSettings
from search_space.plan import Plan
from trainers.recipe import Recipe


def ranked(folder: Path, phase: str) -> list[Plan]:
    """The plans of a phase's trials, the best first."""
    records = json.loads((folder / f"{phase}.json").read_text())["trials"]
    return [Plan.from_dict(r["plan"]) for r in sorted(records, key=lambda record: -record["metrics"]["accuracy"])]


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
    assert outcome.json["found_by"] == ("evolution" if phase == "search" else "uniform")
    uniform = max((one for one in measured if one[1] == "uniform"), key=lambda one: one[0])
    assert Plan.read(folder / "uniform.yaml") == uniform[2]


def test_a_uniform_plan_that_none_searched_beat_is_exported_and_named(cli, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    for path in (folder / "checkpoints").glob("uniform-finalist-1-*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"accuracy": 1.0}))
    for path in [folder / "summary.json", *(folder / "checkpoints").glob("searched-*"),
                 *(folder / "checkpoints").glob("uniform-[0-9]*")]:  # fmt: skip
        path.unlink()
    told = cli.call(*cli.search, "--out", folder).json
    assert told["found_by"] == "uniform" and told["strategy"] == "evolution"
    assert Plan.read(folder / "plan.yaml") == Plan.read(folder / "uniform.yaml") == ranked(folder, "uniform")[1]
    assert told["accuracies"] == told["baseline_uniform"]["accuracies"]
    shown = cli.call(*(word for word in cli.search if word != "--json"), "--out", folder)
    assert "this plan: uniform, none searched was better" in shown.out
    assert "Plan, a uniform one" in (folder / "report.html").read_text()


def test_full_trainings_are_planned_for_every_finalist_and_seed():
    settings = SearchSettings(finalists=3, finalist_seeds=2, recipe=Recipe(epochs=5))
    work = settings.work("tiny")
    assert work["search finalists"] == work["uniform finalists"] == 3 * 2 * 5
    assert list(work)[2:6] == ["search", "uniform", "search finalists", "uniform finalists"]
    assert "uniform finalists" not in SearchSettings(strategy="uniform").work("tiny")
