"""Trials an hour of the local engine by the number of its workers, and the time of full trainings by how many are made
side by side, each with one CPU thread.

Run: python benchmarks/workers.py [--trials 8] [--epochs 8] [--workers 1 2] [--rounds 2]. On a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from bankwise.planning import solve
from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines import Job, make_engine
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from bankwise.training import train_plan


def seconds(workers: int, trials: int, epochs: int) -> float:
    """Of a job of random plans, the start of the processes included."""
    recipe = Recipe(epochs=epochs, threads=1)
    task = make_task("tiny", load_data("digits"), recipe)
    space = BudgetedSpace(SearchSpace(task.shape), Budget(900))
    with tempfile.TemporaryDirectory() as folder:
        job = Job(make_strategy("random", space), task, recipe, trials, Path(folder) / "job")
        begin = time.perf_counter()
        make_engine("local", workers=workers).run(job)
        return time.perf_counter() - begin


def full_seconds(together: int, trainings: int, epochs: int) -> float:
    """Of so many full trainings, half of them of float networks, half of a plan."""
    recipe = Recipe(epochs=epochs, threads=1)
    plan = solve(make_task("tiny", load_data("digits"), recipe).shape, 900)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        train_plan(plan, "digits", Path(folder) / "run", recipe, seeds=trainings // 2, side_by_side=together)
        return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--full-epochs", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    rows = {workers: [float("inf")] * 2 for workers in given.workers}
    for _ in range(given.rounds):  # in turn, so that the machine's load meets all alike
        for workers, best in rows.items():
            best[0] = min(best[0], seconds(workers, given.trials, given.epochs))
            best[1] = min(best[1], full_seconds(workers, given.trials, given.full_epochs))
    print(f"| at a time | {given.trials} trials, s | ratio | {given.trials} full trainings, s | ratio |")
    print("|---" * 5 + "|")
    first = rows[given.workers[0]]
    for workers, (trials, full) in rows.items():
        print(f"| {workers} | {trials:.1f} | {first[0] / trials:.2f} | {full:.1f} | {first[1] / full:.2f} |")


if __name__ == "__main__":
    main()
