"""The search of `make search`, by twenty seeds: how often it ends ahead of the best uniform plan.

    python results/bench/demo.py [--task easy] [--seeds 20]

`--task easy` is a search where there is little to find. A seed changes the float networks, the strategy's proposals and
the trainings; images and budget stay. Both plans are trained in full by the three seeds that a search makes last, which
chose nothing. Writes its table into README.md. What is through lies in runs/demo.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.searching import SearchSettings, search
from results.bench.page import write_between
from results.jobs import run_jobs

HERE = Path(__file__).resolve().parent
TASKS = {"demo": ("resnet9@0.125", "digits", "1000B"), "easy": ("tiny", "digits", "900B")}  # the first: the Makefile's
SETTINGS = SearchSettings(strategy="evolution", finalists=4, seeds=3)
OUTCOMES = ("ahead", "the same plan", "within the spread", "behind")


def one(folder: Path, task: str, seed: int) -> dict[str, Any]:
    """The search by `seed`, in `folder`; one that was killed goes on."""
    found = search(*TASKS[task], folder, dataclasses.replace(SETTINGS, seed=seed), side_by_side=1).to_dict()
    uniform = found["baseline_uniform"]
    return {
        "accuracy": statistics.fmean(found["accuracies"]),
        "found_by": found["found_by"],
        "file_bytes": found["file_bytes"],
        "plan": [found["accuracies"], found["test_accuracies"]],
        "uniform": [uniform["accuracies"], uniform["test_accuracies"]],
        "uniform_bytes": uniform["bytes"],
    }


def ahead(result: Mapping[str, Any]) -> str:
    """Whether the exported plan's mean on the validation split is above the uniform one's by more than the larger of
    the two spreads, below by as much, or neither."""
    plan, uniform = result["plan"][0], result["uniform"][0]
    if result["found_by"] == "uniform":
        return "the same plan"
    lead, spread = statistics.fmean(plan) - statistics.fmean(uniform), max(map(statistics.stdev, (plan, uniform)))
    return "ahead" if lead > spread else "behind" if lead < -spread else "within the spread"


def table(found: Mapping[int, Mapping[str, Any]]) -> str:
    """A row a seed, and how often each outcome came."""
    lines = [
        "| seed | exported | bytes | validation % | test % | uniform: bytes | validation % | test % | it ends |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for seed, result in found.items():
        cells = [str(seed), result["found_by"], f"{result['file_bytes']:,}", *map(_percent, result["plan"])]
        cells += [f"{result['uniform_bytes']:,}", *map(_percent, result["uniform"]), ahead(result)]
        lines.append(f"| {' | '.join(cells)} |")
    counts = {name: sum(ahead(one) == name for one in found.values()) for name in OUTCOMES}
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    leads = " and ".join(_lead(found.values(), i) for i in (0, 1))
    return "\n".join(lines) + f"\n\nOf {len(found)}: {told}. Mean lead, validation and test: {leads} points.\n"


def _lead(found: Iterable[Mapping[str, Any]], split: int) -> str:
    """Mean and deviation over the searches."""
    leads = [100 * (statistics.fmean(one["plan"][split]) - statistics.fmean(one["uniform"][split])) for one in found]
    return f"{statistics.fmean(leads):+.2f} ± {statistics.stdev(leads):.2f}"


def _percent(values: list[float]) -> str:
    return f"{100 * statistics.fmean(values):.2f} ± {100 * statistics.stdev(values):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="demo")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--cache", default="runs/demo")
    parser.add_argument("--workers", type=int, help="searches at a time; default: one a core")
    options = parser.parse_args()
    cache = Path(options.cache) / options.task
    jobs = [(f"seed-{seed}", (cache / f"seed-{seed}", options.task, seed)) for seed in range(options.seeds)]
    found = run_jobs(one, jobs, cache, options.workers)
    made = {int(name.removeprefix("seed-")): result for name, result in found.items()}
    text = table(made)
    print(text)
    write_between(HERE / "README.md", options.task, text)


if __name__ == "__main__":
    main()
