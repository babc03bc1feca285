"""How should scales and shifts be stored? Accuracy at equal bytes, for each way alone and for one of each layer's own.

    python results/vectors/study.py --data-root DATA        (about 15 minutes on one core)

`tiny` on digits and `small@0.25` on 8,000 training images of MNIST, half of each validating. In each budget the exact
solver's plan by `weighted_capture`, whose layers store vectors in the ways of a row, is trained from a float network,
one a seed.
Writes table.md and results.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.budget import Budget
from bankwise.search_space.limits import Limits
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.vector import VECTORS
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import weighted_capture
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task
from bankwise.trainers.trial import run_trial
from results.equal_bytes import percent
from results.jobs import run_jobs

HERE = Path(__file__).resolve().parent
BUDGETS = (1024, 2048)
WAYS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in VECTORS if name != "v32"},
    "each layer: v8, v4, s8, s4": ("v8", "v4", "s8", "s4"),
}


@dataclass(frozen=True)
class Setting:
    network: str
    data: str
    images: int | None
    epochs: int
    seeds: int


SETTINGS = (Setting("tiny", "digits", None, 20, 3), Setting("small@0.25", "mnist", 8_000, 5, 3))


@lru_cache(maxsize=2)
def trained(setting: Setting, root: str, cache: str, seed: int) -> Task:
    """The task with its float network of that seed."""
    data = load_data(setting.data, root=Path(root), limit=setting.images, validation=0.5)
    recipe = Recipe(epochs=setting.epochs, seed=seed)
    task = make_task(setting.network, data, recipe)
    train(task.network, data, recipe, checkpoint=Path(cache) / f"float-{setting.network}-{seed}.pt")
    teacher = task.network.eval().requires_grad_(False)
    return dataclasses.replace(make_task(setting.network, data, recipe), teacher=teacher)


def job(setting: Setting, root: str, cache: str, budget: int, ways: tuple[str, ...], seed: int) -> dict:
    task = trained(setting, root, cache, seed)
    space = BudgetedSpace.of(task.shape, SpaceSettings(vectors=ways), Limits.of(Budget(budget)))
    plan = space.plan(space.solve(weighted_capture(space)))
    found = run_trial(task, plan, Recipe(epochs=setting.epochs, seed=1 + seed))
    cost = price(task.shape, plan)
    vectors = sum(part.file_bytes for layer in cost.layers for part in layer.parts if _is_vector(part.name))
    stored = Counter(choice.stored(plan.vector_bits).name for choice in plan.layers.values())
    return {
        "accuracy": found.accuracy, "file_bytes": cost.file_bytes, "vector_bytes": vectors, "stored": dict(stored),
        "plan": plan.to_dict(),
    }  # fmt: skip


def _is_vector(part: str) -> bool:
    return part.split(".")[0] in ("norm", "scale", "bias")


def name_of(setting: Setting, budget: int, way: str, seed: int) -> str:
    return f"{setting.data}-{budget}-{way.replace(': ', '-').replace(', ', '-').replace(' ', '-')}-{seed}"


def table(results: dict[str, dict]) -> str:
    heads = ("network, data", "budget", "vectors", "file bytes", "of which vectors", "validation %")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for setting in SETTINGS:
        for budget in BUDGETS:
            for way in WAYS:
                found = [results[name_of(setting, budget, way, seed)] for seed in range(setting.seeds)]
                shown = way if len(found[0]["stored"]) == 1 else f"{way} ({_counted(found[0]['stored'])})"
                cells = (f"{setting.network}, {setting.data}", f"{budget}", shown, f"{found[0]['file_bytes']:,}",
                         f"{found[0]['vector_bytes']:,}", percent([one["accuracy"] for one in found]))  # fmt: skip
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _counted(stored: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in stored.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/vectors")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    cache = Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    jobs = [
        (name_of(setting, budget, way, seed), (setting, options.data_root, options.cache, budget, ways, seed))
        for setting in SETTINGS
        for seed in range(setting.seeds)
        for budget in BUDGETS
        for way, ways in WAYS.items()
    ]
    results = run_jobs(job, jobs, cache, options.workers)
    (HERE / "table.md").write_text(table(results))
    (HERE / "results.json").write_text(json.dumps({name: one for name, one in results.items()}, indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
