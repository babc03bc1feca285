"""Trials an hour of the local engine by the number of its workers, each with one CPU thread.

Run: python benchmarks/workers.py [--trials 8] [--epochs 8] [--workers 1 2] [--rounds 2]. On a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines import Job, make_engine
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    best = {workers: float("inf") for workers in given.workers}
    for _ in range(given.rounds):  # in turn, so that the machine's load meets all alike
        for workers in given.workers:
            best[workers] = min(best[workers], seconds(workers, given.trials, given.epochs))
    print("| workers | seconds | trials an hour | ratio |\n|---|---|---|---|")
    first = best[given.workers[0]]
    for workers, took in best.items():
        print(f"| {workers} | {took:.1f} | {3600 * given.trials / took:,.0f} | {first / took:.2f} |")


if __name__ == "__main__":
    main()
