"""What each part of a fast training is worth, for an uncompressed network and for a compressed child of it.

    python results/recipes/study.py --data-root DATA        (about 15 minutes on 2 cores)

Each part alone is added to the same short training, then those that pay together. Accuracies are of the validation
split; the test set is not read. Writes table.md and results.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.planning import solve
from bankwise.search_space.targets.file.container import read
from bankwise.trainers.data import load_data
from bankwise.trainers.evaluate import accuracy_on
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from bankwise.trainers.trial import run_trial
from results.jobs import run_jobs

NETWORK, BUDGET, IMAGES, VALIDATION, SEEDS = "small@0.25", 2048, 8000, 3 / 8, 3
DATA = "cifar10"
BASE = Recipe(epochs=4, threads=1)
PARTS: dict[str, dict[str, object]] = {
    "base": {},
    "label smoothing 0.2": {"label_smoothing": 0.2},
    "alternating flips": {"flips": "alternating"},
    "shifts by 2 (base: by 4)": {"shift": 2},
    "dirac start": {"start": "dirac"},
    "whitened first layer": {"whiten": True},
    "weights averaged, last 1/4": {"average": 0.25},
    "batch 250, lr 0.008": {"batch": 250, "lr": 8e-3},
    "lr 0.008": {"lr": 8e-3},
    "distilled, half of the loss": {"distill": 0.5},
    "whitened, shifts by 2": {"whiten": True, "shift": 2},
}


def measure(part: str, seed: int, root: str, cache: Path) -> dict:
    """Both networks of a seed; the child starts from the float network that was trained alike."""
    recipe = dataclasses.replace(BASE, seed=seed, **PARTS[part])
    data = load_data(DATA, root=Path(root), limit=IMAGES, validation=VALIDATION)
    task = make_task(NETWORK, data, recipe)
    history = train(task.network, data, dataclasses.replace(recipe, distill=0.0))
    task = dataclasses.replace(task, teacher=task.network.eval().requires_grad_(False))
    file = cache / f"{part.replace(' ', '-').replace('/', '-')}-{seed}.bankwise"
    result = run_trial(task, solve(task.shape, BUDGET), dataclasses.replace(recipe, seed=seed + 1), file=file)
    return {
        "float": accuracy_on(task.network, data),
        "float, flips": accuracy_on(task.network, data, flips=True),
        "accuracy": result.accuracy,
        "child, flips": accuracy_on(read(file).network(), data, flips=True),
        "seconds": result.seconds + sum(epoch.seconds for epoch in history),
    }


def table(results: dict[str, list[dict]]) -> str:
    heads = ("part", "float32 %", "child %", "float32, against base", "child, against base")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]

    def cells(name: str, columns: tuple[str, str]) -> str:
        values, base = results[name], results["base"]
        shown = [
            f"{100 * statistics.fmean(column):.1f} ± {100 * statistics.stdev(column):.1f}"
            for column in ([one[key] for one in values] for key in columns)
        ]
        for key, alone in zip(columns, ("float", "accuracy"), strict=True):
            gains = [100 * (one[key] - other[alone]) for one, other in zip(values, base, strict=True)]
            shown.append(f"{statistics.fmean(gains):+.1f} ± {statistics.stdev(gains):.1f}")
        return " | ".join(shown)

    lines += [f"| {name} | {cells(name, ('float', 'accuracy'))} |" for name in results]
    lines.append(f"| base, mirror images at test time too | {cells('base', ('float, flips', 'child, flips'))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/recipes")
    parser.add_argument("--workers", type=int, help="trainings at a time; default: one a core")
    options = parser.parse_args()
    cache, folder = Path(options.cache), Path(__file__).resolve().parent
    cache.mkdir(parents=True, exist_ok=True)
    jobs = [
        (f"{part.replace(' ', '-').replace('/', '-')}-{seed}", (part, seed, options.data_root, cache))
        for seed in range(SEEDS)
        for part in PARTS
    ]
    found = run_jobs(measure, jobs, cache, options.workers)
    values = list(found.values())
    results = {part: values[i :: len(PARTS)] for i, part in enumerate(PARTS)}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "table.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
