"""Accuracy at 2, 4, 8 and 16 KiB: searched plan, best uniform plan, closed form, narrowed network.

    python results/budgets/study.py --data-root DATA        (about an hour on 2 cores)

Network `small`, 12,000 CIFAR-10 training images of which 1/6 validate. All are trained alike: the float network first,
then its compressed child from those weights, 3 seeds, accuracy of the file read back. `log rate` is the closed form
without data. `narrowed` is what a user would do instead: the widest version of the network whose 1-bit weights (BWN)
fit the bytes, its first and last layer at 1, 4 or 8 bits, whichever short trial is best on the validation split. The
test set is read at the end only. Writes results.json, table.md, accuracy.png and the plans.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import sys
from pathlib import Path

from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise import search
from bankwise.search_space.budget import Budget
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.file.container import read
from bankwise.searching import SearchSettings
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.baselines import baseline
from bankwise.trainers.data import load_data
from bankwise.trainers.evaluate import accuracy
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, TaskSource, make_task
from bankwise.trainers.trial import run_trial
from results.jobs import run_jobs

HERE = Path(__file__).resolve().parent
BUDGETS = (2, 4, 8, 16)  # KiB
NARROWER = ((2, "small@0.5"), (2, "small@0.25"), (4, "small@0.5"))  # searched as well: what width is worth
IMAGES = 12_000
NETWORK = "small"
SETTINGS = SearchSettings(
    strategy="evolution",
    trials=10,
    uniform_trials=4,
    finalists=2,
    seeds=3,
    trial_epochs=2,
    recipe=Recipe(epochs=5, recalibrate=0),
)
ENDS = ("binary", "int4", "int8")  # of the narrowed network's first and last layer


def searched(root: str, cache: str, kib: int, network: str = NETWORK) -> dict:
    label = "search" if network == NETWORK else network
    out = Path(cache) / f"{label}-{kib}KiB"
    return search(
        None, TaskSource(network, "cifar10", data_root=root, limit=IMAGES), f"{kib}KiB", out, SETTINGS
    ).to_dict()


def narrowed(root: str, cache: str, kib: int) -> dict:
    data = load_data("cifar10", root=Path(root), limit=IMAGES)
    tried = []
    for kind in ENDS:
        found = baseline("narrower-1-bit", NETWORK, data.input_shape, data.classes, kib * 1024, ends=(kind,))
        if found is None:
            raise SystemExit(f"no width of {NETWORK} fits {kib} KiB")
        plan = found.plan
        task = make_task(plan.network, data, SETTINGS.recipe)
        teacher = make_task(plan.network, data, SETTINGS.recipe).network
        train(teacher, data, SETTINGS.recipe)
        task = dataclasses.replace(task, teacher=teacher.eval().requires_grad_(False))
        short = dataclasses.replace(SETTINGS.recipe, epochs=SETTINGS.trial_epochs)
        tried.append((run_trial(task, plan, short).accuracy, kind, task, plan))
    _, kind, task, plan = max(tried, key=lambda entry: entry[0])
    return over_seeds(task, plan, Path(cache) / f"narrowed-{kib}KiB") | {"network": plan.network, "ends": kind}


def closed_form(root: str, cache: str, kib: int) -> dict:
    """The plan of the summed log rate: no data looked at, no trial; trained as the others are."""
    data = load_data("cifar10", root=Path(root), limit=IMAGES)
    task = make_task(NETWORK, data, SETTINGS.recipe)
    teacher = make_task(NETWORK, data, SETTINGS.recipe).network
    train(teacher, data, SETTINGS.recipe, checkpoint=Path(cache) / f"search-{kib}KiB/checkpoints/uncompressed-0.pt")
    task = dataclasses.replace(task, teacher=teacher.eval().requires_grad_(False))
    plan = make_strategy("rate", BudgetedSpace(SearchSpace(task.shape), Budget(kib * 1024))).ask()
    return over_seeds(task, plan, Path(cache) / f"rate-{kib}KiB")


def over_seeds(task: Task, plan: Plan, folder: Path) -> dict:
    """Train the plan over the final seeds and measure the files read back."""
    validation, test = [], []
    for seed in range(1, 1 + SETTINGS.seeds):
        file = folder / f"seed{seed}.bankwise"
        recipe = dataclasses.replace(SETTINGS.recipe, seed=seed)
        validation.append(run_trial(task, plan, recipe, file=file).accuracy)
        test.append(accuracy(read(file).network(), *task.data.test()))
    cost = price(task.shape, plan)
    return {
        "plan": plan.to_dict(), "bytes": cost.file_bytes, "paper_bits": cost.paper_bits,
        "accuracy": statistics.fmean(validation), "accuracies": validation,
        "test_accuracy": statistics.fmean(test), "test_accuracies": test,
    }  # fmt: skip


def rows(results: dict[str, dict]) -> list[tuple[int, str, int, int, list[float], list[float]]]:
    """(KiB, method, file bytes, paper bits, validation accuracies, test accuracies)."""
    keys = ("bytes", "paper_bits", "accuracies", "test_accuracies")
    table = []
    for kib in BUDGETS:
        found = results[f"search-{kib}KiB"]
        others = {
            "uniform": found["baseline_uniform"],
            "log rate": results[f"rate-{kib}KiB"],
            "narrowed": results[f"narrowed-{kib}KiB"],
        }
        table += [
            (kib, "searched", found["file_bytes"], found["paper_bits"], found["accuracies"], found["test_accuracies"]),
            *((kib, name, *(other[key] for key in keys)) for name, other in others.items()),
        ]
        for size, network in NARROWER:
            if size == kib:
                other = results[f"{network}-{kib}KiB"]
                table.append((kib, f"searched, {network}", other["file_bytes"], *(other[key] for key in keys[1:])))
    return table


def draw(table: list, floating: dict) -> Figure:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for method, mark in (("searched", "o-"), ("log rate", "d-."), ("uniform", "s--"), ("narrowed", "^:")):
        mine = [row for row in table if row[1] == method]
        axes.errorbar(
            [row[2] / 1024 for row in mine],
            [100 * statistics.fmean(row[5]) for row in mine],
            [100 * statistics.stdev(row[5]) for row in mine],
            fmt=mark, capsize=3, label=method,
        )  # fmt: skip
    label = f"float32, {floating['bytes'] / 1024:.0f} KiB"
    axes.axhline(100 * floating["test_accuracy"], color="0.5", lw=1, label=label)
    axes.set(xscale="log", xlabel="file size (KiB)", ylabel="test accuracy of the file (%)")
    axes.set_xticks(BUDGETS, BUDGETS)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/budgets")
    options = parser.parse_args()
    common = (options.data_root, options.cache)
    jobs = [(f"search-{kib}KiB", (*common, kib)) for kib in BUDGETS]
    results = run_jobs(searched, jobs, Path(options.cache))
    jobs = [(f"{network}-{kib}KiB", (*common, kib, network)) for kib, network in NARROWER]
    results |= run_jobs(searched, jobs, Path(options.cache))
    for name, work in (("narrowed", narrowed), ("rate", closed_form)):
        results |= run_jobs(work, [(f"{name}-{kib}KiB", (*common, kib)) for kib in BUDGETS], Path(options.cache))
    floating = results["search-2KiB"]["uncompressed"]
    table = rows(results)
    lines = ["| budget | method | file bytes | paper bits | validation % | test % |", "|---|---|---|---|---|---|"]
    for kib, method, size, bits, validation, test in table:
        figures = [f"{100 * statistics.fmean(v):.1f} ± {100 * statistics.stdev(v):.1f}" for v in (validation, test)]
        lines.append(f"| {kib} KiB | {method} | {size:,} | {bits:,} | {figures[0]} | {figures[1]} |")
    lines.append(
        f"| | float32 | {floating['bytes']:,} | | {100 * floating['accuracy']:.1f} ± "
        f"{100 * floating['accuracy_spread']:.1f} | {100 * floating['test_accuracy']:.1f} ± "
        f"{100 * floating['test_accuracy_spread']:.1f} |"
    )
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    (HERE / "results.json").write_text(json.dumps(results, indent=1))
    draw(table, floating).savefig(HERE / "accuracy.png", dpi=160)
    for kib in BUDGETS:
        for name in ("plan", "uniform"):
            shutil.copy(Path(options.cache) / f"search-{kib}KiB" / f"{name}.yaml", HERE / f"{name}-{kib}KiB.yaml")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
