"""What one scale for a whole layer costs where every filter sees one channel.

    python results/vectors/depthwise.py --data-root DATA        (about 20 minutes on one core)

`dscnn@0.5` on digits and on 6,000 training images of MNIST, half of each validating. *By hand*: 1-bit weights in all
layers but the last, the depthwise ones with other weights, and either kind with one scale a layer (`s4`) or one a
filter (`v4`). *By closed form*: the exact solver's plan in so many bytes, by the constants as they were before
(`shared_depthwise` of 0) and as they are. Each is trained from a float network, one a seed.

What `v4` gains over `s4` in the depthwise layers, in logits, over the slope that the additive model has for a unit of
the closed form and over the importance of these layers, is the `shared_depthwise` of `strategies.learned`: the mean
over the pairs. Writes depthwise.md and depthwise.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import statistics
import sys
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.budget import Budget
from bankwise.search_space.limits import Limits
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings, is_depthwise
from bankwise.search_space.trace import shape_of
from bankwise.strategies.additive.prior import DEVIATIONS
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.learned import LEARNED, Constants
from bankwise.strategies.scores import layer_weights, weighted_capture
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.trial import run_trial
from results.equal_bytes import percent
from results.jobs import run_jobs
from results.vectors.study import Setting, trained

HERE = Path(__file__).resolve().parent
NETWORK = "dscnn@0.5"
SETTINGS = (Setting(NETWORK, "digits", None, 40, 3), Setting(NETWORK, "mnist", 6_000, 8, 3))
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28)}
LARGEST = 4096  # bytes: what plans by hand are taken from
WEIGHTS = ("B", "I2", "I4")  # of depthwise layers by hand
BY_HAND = [("Bs4", f"{weights}{vectors}") for weights in WEIGHTS for vectors in ("s4", "v4")]
BY_HAND += [("Bv4", "Bs4"), ("Bv4", "Bv4")]
BUDGETS = (1300, 1500)
CONSTANTS = {"before": dataclasses.replace(LEARNED, shared_depthwise=0.0), "now": LEARNED}


def space_of(data: str, size: int) -> BudgetedSpace:
    return BudgetedSpace.of(shape_of(NETWORK, SHAPES[data], 10), SpaceSettings(), Limits.of(Budget(size)))


def by_hand(data: str, dense: str, depthwise: str) -> Plan:
    """Choices by their codes; the last layer has 4-bit weights."""
    space = space_of(data, LARGEST)
    layers = space.space.shape.layers
    wanted = [depthwise if is_depthwise(layer) else dense for layer in layers[:-1]] + ["I4v4"]
    codes = [[choice.code() for choice in space.choices(i)] for i in range(len(layers))]
    return space.plan([row.index(code) for row, code in zip(codes, wanted, strict=True)])


def by_closed_form(data: str, size: int, constants: Constants) -> Plan:
    space = space_of(data, size)
    return space.plan(space.solve(weighted_capture(space, constants)))


@lru_cache(maxsize=1)
def plans(data: str) -> dict[str, Plan]:
    """By what a row of the table says of them."""
    found = {
        f"by hand: {dense}, depthwise {depthwise}": by_hand(data, dense, depthwise) for dense, depthwise in BY_HAND
    }
    for size in BUDGETS:
        for name, constants in CONSTANTS.items():
            found[f"closed form, {name}, in {size:,} bytes"] = by_closed_form(data, size, constants)
    return found


def job(setting: Setting, root: str, cache: str, plan: Plan, seed: int) -> dict:
    task = trained(setting, root, cache, seed)
    found = run_trial(task, plan, Recipe(epochs=setting.epochs, seed=1 + seed))
    return {"accuracy": found.accuracy, "file_bytes": price(task.shape, plan).file_bytes, "plan": plan.to_dict()}


def shared(results: dict[str, list[dict]], data: str) -> list[float]:
    """What each pair of a setting asks for."""
    space = space_of(data, LARGEST)
    importance = sum(
        weight
        for weight, layer in zip(layer_weights(space), space.space.shape.layers, strict=True)
        if is_depthwise(layer)
    )
    found = []
    for dense, depthwise in BY_HAND:
        if depthwise.endswith("s4"):
            pair = [
                _logit(results[f"{data}: by hand: {dense}, depthwise {code}"])
                for code in (depthwise, depthwise[:-2] + "v4")
            ]
            found.append((pair[0] - pair[1]) / DEVIATIONS.slope_mean / importance)
    return found


def _logit(found: list[dict]) -> float:
    accuracy = statistics.fmean(one["accuracy"] for one in found)
    return math.log(accuracy / (1 - accuracy))


def table(results: dict[str, list[dict]]) -> str:
    heads = ("plan", *(f"{one.data}: file bytes | validation %" for one in SETTINGS))
    lines = [f"| {' | '.join(heads)} |", "|---" * (1 + 2 * len(SETTINGS)) + "|"]
    for label in plans(SETTINGS[0].data):
        rows = [results[f"{setting.data}: {label}"] for setting in SETTINGS]
        cells = [f"{row[0]['file_bytes']:,} | {percent([one['accuracy'] for one in row])}" for row in rows]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    asked = {setting.data: shared(results, setting.data) for setting in SETTINGS}
    told = "; ".join(f"{data} {', '.join(f'{one:.2f}' for one in found)}" for data, found in asked.items())
    mean = statistics.fmean(one for found in asked.values() for one in found)
    return "\n".join(lines) + f"\n\n`shared_depthwise` that each pair asks for: {told}; mean {mean:.2f}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/depthwise")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    results: dict[str, list[dict]] = {}
    for setting in SETTINGS:
        cache = Path(options.cache) / setting.data
        cache.mkdir(parents=True, exist_ok=True)
        jobs = {
            (label, seed): (setting, options.data_root, str(cache), plan, seed)
            for seed in range(setting.seeds)
            for label, plan in plans(setting.data).items()
        }
        names = {(label, seed): re.sub(r"\W+", "-", f"{label}-{seed}") for label, seed in jobs}
        found = run_jobs(job, [(names[key], arguments) for key, arguments in jobs.items()], cache, options.workers)
        for label in plans(setting.data):
            results[f"{setting.data}: {label}"] = [found[names[label, seed]] for seed in range(setting.seeds)]
    text = table(results)
    (HERE / "depthwise.md").write_text(text)
    (HERE / "depthwise.json").write_text(json.dumps(results, indent=1))
    print(text)


if __name__ == "__main__":
    main()
