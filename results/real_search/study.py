"""One search on all of CIFAR-10: its plan, the best uniform one and the closed form's at equal bytes.

    python results/real_search/study.py --data-root DATA        (about two hours of one core without bfloat16)

Writes table.md, results.json and plan.yaml, when the search is through and when all is. What is through lies in
runs/real-search, so that a command that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.budget import Budget
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.file.container import read
from bankwise.searching import SearchSettings, search
from bankwise.strategies.portfolio import portfolio
from bankwise.trainers.data import ImageData, load_data
from bankwise.trainers.evaluate import accuracy_on
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task
from bankwise.trainers.trial import run_trial
from results.jobs import run_jobs

HERE = Path(__file__).resolve().parent
NETWORK, DATA, BUDGET = "resnet9@0.125", "cifar10", "2KiB"
RECIPE = Recipe(epochs=8, batch=250, whiten=True, shift=2, threads=1)  # what paid in results/recipes
SETTINGS = SearchSettings(
    trials=16, uniform_trials=8, finalists=2, finalist_seeds=1, seeds=3, trial_epochs=1, recipe=RECIPE
)


def images(root: str) -> ImageData:
    return load_data(DATA, root=Path(root), validation=1 / 10)


def teacher(root: str, run: Path, seed: int) -> Task:
    """The task with the search's own float network of that seed, as its checkpoint has it."""
    recipe = dataclasses.replace(RECIPE, seed=seed)
    task = make_task(NETWORK, images(root), recipe)
    floating = dataclasses.replace(recipe, distill=0.0)
    train(task.network, task.data, floating, checkpoint=run / "checkpoints" / f"uncompressed-{seed}.pt")
    return dataclasses.replace(task, teacher=task.network.eval().requires_grad_(False))


def closed_form(task: Task) -> Plan:
    """The plan that a search tries first."""
    space = SETTINGS.budgeted(task, Budget.parse(BUDGET, task.shape))
    return space.plan(portfolio(space)[0])


def child(root: str, run: Path, cache: Path, seed: int) -> dict[str, Any]:
    """The closed form's plan, trained from that float network by the seed that the search's final trainings have."""
    task = teacher(root, run, seed)
    file, recipe = cache / f"closed-form-{seed}.bankwise", dataclasses.replace(RECIPE, seed=1 + seed)
    result = run_trial(task, closed_form(task), recipe, file=file, checkpoint=file.with_suffix(".pt"))
    return {"accuracy": result.accuracy, "file_bytes": result.file_bytes}


def measured(root: str, file: Path) -> dict[str, Any]:
    """The test accuracy of a file, as it lies on disk."""
    return {"accuracy": accuracy_on(read(file).network(), images(root), "test")}


def row(name: str, found: Mapping[str, Any]) -> str:
    cells = [name, f"{found['bytes']:,}", *(_percent(found[key]) for key in ("accuracies", "test_accuracies"))]
    return f"| {' | '.join(cells)} |"


def _percent(values: list[float]) -> str:
    return f"{100 * statistics.fmean(values):.2f} ± {100 * statistics.stdev(values):.2f}"


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| plan | file bytes | validation % | test % |", "|---|---|---|---|"]
    return "\n".join([*lines, *(row(name, one) for name, one in found.items())]) + "\n"


def write(found_by: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    """The rows that are through, the best on the validation split first."""
    rows = dict(sorted(found.items(), key=lambda item: -statistics.fmean(item[1]["accuracies"])))
    (HERE / "results.json").write_text(json.dumps({"found_by": found_by, "rows": rows}, indent=1) + "\n")
    (HERE / "table.md").write_text(table(rows))
    print(table(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/real-search")
    parser.add_argument("--workers", type=int, help="full trainings at a time; default: one a core")
    options = parser.parse_args()
    cache, root, seeds = Path(options.cache), options.data_root, range(SETTINGS.seeds)
    run = cache / "run"
    result = search(NETWORK, images(root), BUDGET, run, SETTINGS, progress=True, side_by_side=options.workers).to_dict()
    keys = ("accuracies", "test_accuracies")
    found = {
        "searched": {"bytes": result["file_bytes"], **{key: result[key] for key in keys}},
        "best uniform": {key: result["baseline_uniform"][key] for key in ("bytes", *keys)},
        "uncompressed (float32)": {key: result["uncompressed"][key] for key in ("bytes", *keys)},
    }
    shutil.copy(run / "plan.yaml", HERE / "plan.yaml")
    write(result["found_by"], found)
    jobs = [(f"closed-form-{seed}", (root, run, cache, seed)) for seed in seeds]
    children = list(run_jobs(child, jobs, cache, options.workers).values())
    jobs = [(f"test-closed-form-{seed}", (root, cache / f"closed-form-{seed}.bankwise")) for seed in seeds]
    tests = list(run_jobs(measured, jobs, cache, 1).values())
    closed = {
        "bytes": children[0]["file_bytes"],
        "accuracies": [one["accuracy"] for one in children],
        "test_accuracies": [one["accuracy"] for one in tests],
    }
    write(result["found_by"], {"closed form": closed} | found)


if __name__ == "__main__":
    main()
