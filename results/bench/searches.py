"""Searches with real trials: the check of what the surrogate says.

    python results/bench/searches.py --data-root DATA [--setting digits-300] [--trials 24] [--runs 4]

Each trial is a full training of the setting, by the first seed of the table's; the plan that the strategy holds best at
the end is trained by three other seeds, which chose nothing. Writes its table into README.md. What is through lies in
runs/bench.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.plan import Plan
from bankwise.strategies import Strategy, make_strategy
from bankwise.trainers.task import Task
from bankwise.trainers.trial import run_trial
from results.bench.page import write_between
from results.bench.setting import SETTINGS, Setting
from results.bench.table import read_rows

HERE = Path(__file__).resolve().parent
STRATEGIES = ("evolution", "thompson", "tpe")
TRIED, JUDGES = 1, (2, 3, 4)  # seeds of the trials, and of the plans that were found; the teacher's is 0


class Trainings:
    """Of a setting, each done once and kept as a line of a file."""

    def __init__(self, setting: Setting, root: str, cache: Path) -> None:
        self.setting, self.path = setting, cache / f"searches-{setting.name}.jsonl"
        self.task: Task = setting.task(root, cache)
        self.done = {(row["plan"], row["seed"]): row["accuracy"] for row in read_rows(self.path)}

    def accuracy(self, plan: Plan, seed: int) -> float:
        if (plan.text, seed) not in self.done:
            found = run_trial(self.task, plan, dataclasses.replace(self.setting.recipe, seed=seed)).accuracy
            self.done[plan.text, seed] = found
            with self.path.open("a") as file:
                file.write(json.dumps({"plan": plan.text, "seed": seed, "accuracy": found}) + "\n")
        return self.done[plan.text, seed]


def search(strategy: Strategy, trials: int, trainings: Trainings) -> tuple[float, str]:
    """Mean accuracy of the plan that the strategy holds best, by the judges' seeds."""
    for _ in range(trials):
        plan = strategy.ask()
        if plan is None:
            break
        strategy.tell(plan, {"accuracy": trainings.accuracy(plan, TRIED)})
    assert strategy.best is not None
    return float(np.mean([trainings.accuracy(strategy.best, judge) for judge in JUDGES])), strategy.best.text


def table(found: dict[str, list[float]], setting: str, trials: int) -> str:
    lines = ["| setting | strategy | trials | searches | accuracy of the plan held best, % |", "|---|---|---|---|---|"]
    for name, values in found.items():
        percent = 100 * np.array(values)
        spread = f" ± {percent.std(ddof=1):.2f}" if len(percent) > 1 else ""
        lines.append(f"| {setting} | {name} | {trials} | {len(percent)} | {percent.mean():.2f}{spread} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--setting", default="digits-300", choices=SETTINGS)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--cache", default="runs/bench")
    options = parser.parse_args()
    torch.set_num_threads(1)
    trainings = Trainings(SETTINGS[options.setting], options.data_root, Path(options.cache))
    found: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for seed in range(options.runs):
        for name in STRATEGIES:
            accuracy, plan = search(make_strategy(name, trainings.setting.space, seed), options.trials, trainings)
            found[name].append(accuracy)
            print(f"{name} {seed}: {100 * accuracy:.2f} % {plan}", flush=True)
    write_between(HERE / "README.md", "searches", table(found, options.setting, options.trials))


if __name__ == "__main__":
    main()
