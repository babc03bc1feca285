"""What a trial costs: processor time, memory, and what travels over the network.

    python benchmarks/trial_cost.py [--data-root DATA] [--trials 3]        (a minute a trial with DATA)

Network `small`, 12,000 CIFAR-10 training images of which 1/6 validate, 2 epochs, random plans of 4 KiB; each trial in a
process of its own, one thread.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from bankwise.trainers.trial import run_trial

BUDGET, IMAGES, EPOCHS = "4KiB", 12_000, 2
SMALLER = "1200B"  # for the tiny network
ROWS = (
    ("processor time, one thread", "cpu_seconds", 1, "s"),
    ("peak memory of the process", "peak_bytes", 2**20, "MiB"),
    ("network, once a node: task (images, network)", "task_bytes", 2**20, "MiB"),
    ("network: plan", "plan_bytes", 2**10, "KiB"),
    ("network: checkpoints of all epochs", "checkpoint_bytes", 2**20, "MiB"),
    ("network: result", "result_bytes", 2**10, "KiB"),
)


def measure(root: str | None, seed: int) -> dict[str, float]:
    """One trial in this process."""
    recipe = Recipe(epochs=EPOCHS, threads=1, seed=seed)
    data = load_data("cifar10", root=Path(root), limit=IMAGES) if root else load_data("digits")
    task = make_task("small" if root else "tiny", data, recipe)
    space = BudgetedSpace(SearchSpace(task.shape), Budget.parse(BUDGET if root else SMALLER, task.shape))
    plan = space.plan(space.sample(np.random.default_rng(seed)))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"
        before = time.process_time()
        result = run_trial(task, plan, recipe, checkpoint=checkpoint)
        return {
            "cpu_seconds": time.process_time() - before,
            "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "task_bytes": len(pickle.dumps(task)),
            "plan_bytes": len(json.dumps(plan.to_dict())),
            "checkpoint_bytes": EPOCHS * checkpoint.stat().st_size,
            "result_bytes": len(json.dumps(result.metrics())),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", help="folder of the CIFAR-10 arrays; without it: digits on the tiny network")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--measure", type=int, help="measure one trial of this seed in this process, and print it")
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.data_root, options.measure)))
        return
    costs = []
    for seed in range(options.trials):
        command = [sys.executable, __file__, "--measure", str(seed)]
        command += ["--data-root", options.data_root] if options.data_root else []
        costs.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    print("| a trial | mean | largest |\n|---|---|---|")
    for title, key, unit, name in ROWS:
        values = [cost[key] / unit for cost in costs]
        print(f"| {title} | {statistics.fmean(values):.2f} {name} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
