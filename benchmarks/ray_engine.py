"""Trials by the Ray engine beside the same trials by the local one: what Ray costs, and what a second worker gains.

    python benchmarks/ray_engine.py --data-root DATA [--images 6000] [--trials 8] [--rounds 3]

The same seeded search (network `small`, 4 KiB, random plans, one epoch of CIFAR-10 images, one thread a trial) runs
locally, with one and with two Ray workers, in turns. `a trial` is the time from the first result of each worker to the
last one, over the trials between; `around` the rest: Ray's start and end, and the first trials. The plans found are
compared.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines import Job, make_engine
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task

VARIANTS = {"local": ("local", 1), "Ray, 1 worker": ("ray", 1), "Ray, 2 workers": ("ray", 2)}
BUDGET, NETWORK = "4KiB", "small"


@dataclass
class Times:
    """Seconds, one of each a round."""

    trial: list[float] = field(default_factory=list)
    around: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", help="folder of the CIFAR-10 arrays; without it: digits on the tiny network")
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(epochs=1, threads=1)
    if options.data_root:
        data = load_data("cifar10", root=Path(options.data_root), limit=options.images)
        task = make_task(NETWORK, data, recipe)
    else:
        task = make_task("tiny", load_data("digits"), recipe)
    budget = Budget.parse(BUDGET, task.shape)
    space = BudgetedSpace(SearchSpace(task.shape), budget)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {task.shape.network}")
    times, found = {variant: Times() for variant in VARIANTS}, {}
    for _ in range(options.rounds):
        for variant, (engine, workers) in VARIANTS.items():
            found[variant] = run(engine, workers, task, space, recipe, options.trials, times[variant])
    print(table(times))
    order = [record["plan"] for record in found["local"]]
    same = order == [record["plan"] for record in found["Ray, 1 worker"]]
    accuracies = {variant: max(record["metrics"]["accuracy"] for record in found[variant]) for variant in VARIANTS}
    print(f"the same plans in the same order, local and 1 worker: {same}; best accuracies {accuracies}")


def run(
    engine: str, workers: int, task: Task, space: BudgetedSpace, recipe: Recipe, trials: int, times: Times
) -> list[dict]:
    ended: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            make_strategy("random", space, seed=0), task, recipe, trials, Path(folder) / "search",
            on_result=lambda number, metrics: ended.append(time.perf_counter()),
        )  # fmt: skip
        start = time.perf_counter()
        records = make_engine(engine, workers=workers).run(job)
        end = time.perf_counter()
    first = ended[workers - 1]  # the first of each worker
    times.trial.append((ended[-1] - first) / (trials - workers))
    times.whole.append(end - start)
    times.around.append(end - start - (ended[-1] - first))
    return records


def table(times: dict[str, Times]) -> str:
    """Medians of the seconds; ratios of the same round, their medians."""
    heads = ("variant", "s a trial", "of a local one", "s around", "s in all", "trials an hour, of 1 worker's")
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    local, one = times["local"], times["Ray, 1 worker"]

    def ratio(above: list[float], below: list[float]) -> float:
        return float(np.median(np.array(above) / np.array(below)))

    for variant, seen in times.items():
        seconds = [f"{statistics.median(values):.2f}" for values in (seen.trial, seen.around, seen.whole)]
        gain = f"{ratio(one.trial, seen.trial):.2f}" if variant != "local" else ""
        cells = [variant, seconds[0], f"{ratio(seen.trial, local.trial):.3f}", *seconds[1:], gain]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
