"""The search of `make search`, by twenty seeds: how often it ends ahead of the best uniform plan.

    python results/bench/demo.py [--seeds 20]

A seed changes the float networks, the strategy's proposals and the trainings; images and budget stay. Both plans are
trained in full by the three seeds that a search makes last, which chose nothing. Writes its table into README.md. What
is through lies in runs/demo.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.searching import SearchSettings, search
from results.bench.page import write_between
from results.jobs import run_jobs

HERE = Path(__file__).resolve().parent
NETWORK, DATA, BUDGET = "tiny", "digits", "900B"  # as the Makefile has them
SETTINGS = SearchSettings(strategy="evolution", finalists=4, seeds=3)
OUTCOMES = ("ahead", "the same plan", "within the spread", "behind")


def one(folder: Path, seed: int) -> dict[str, Any]:
    """The search by `seed`, in `folder`; one that was killed goes on."""
    found = search(NETWORK, DATA, BUDGET, folder, dataclasses.replace(SETTINGS, seed=seed), side_by_side=1).to_dict()
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
    leads = [statistics.fmean(one["plan"][1]) - statistics.fmean(one["uniform"][1]) for one in found.values()]
    mean, spread = 100 * statistics.fmean(leads), 100 * statistics.stdev(leads)
    return "\n".join(lines) + f"\n\nOf {len(found)}: {told}. Test set, mean lead: {mean:+.2f} ± {spread:.2f} points.\n"


def _percent(values: list[float]) -> str:
    return f"{100 * statistics.fmean(values):.2f} ± {100 * statistics.stdev(values):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--cache", default="runs/demo")
    parser.add_argument("--workers", type=int, help="searches at a time; default: one a core")
    options = parser.parse_args()
    cache = Path(options.cache)
    jobs = [(f"seed-{seed}", (cache / f"seed-{seed}", seed)) for seed in range(options.seeds)]
    found = run_jobs(one, jobs, cache, options.workers)
    made = {int(name.removeprefix("seed-")): result for name, result in found.items()}
    text = table(made)
    print(text)
    write_between(HERE / "README.md", "demo", text)


if __name__ == "__main__":
    main()
