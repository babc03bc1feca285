"""What each part is worth: families alone, widths, kernel splits, how selections are trained, what they start from.

    python results/ablations/study.py --data-root DATA        (about 10 minutes on 2 cores)

Closed-form plans at one budget, so that nothing but the part differs. Writes tables.md, widths.png and results.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from matplotlib.figure import Figure
from torch import nn

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import InfeasibleBudget
from bankwise.search_space.families import stacked
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import at_width
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace, SpaceSettings
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import weighted_capture
from bankwise.trainers.data import load_data
from bankwise.trainers.evaluate import accuracy
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task
from results.ablations.nearest import NearestBasis
from results.equal_bytes import percent
from results.jobs import run_jobs

NETWORK, DATA, IMAGES, BUDGET, SEEDS = "small", "cifar10", 6000, 4096, (1, 2, 3)
RECIPE = Recipe(epochs=2, batch=50, augment=False)
ENDS = ("binary", "int4", "int8")
FAMILIES = {
    "all": ("stacked", "sparse", "composite", "binary", "int4", "int8"),
    "stacked": ("stacked",),
    "sparse": ("sparse",),
    "composite": ("composite",),
    "binary": ("binary",),
    "int4": ("int4",),
}
WIDTHS = (1.0, 0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Variant:
    """`fitted`: how much further than fresh parameters those that were fitted to the trained network start; 0: fresh
    ones. `nearest`: how the selections are trained. `distill`: share of the teacher in the loss."""

    kinds: str = "stacked"
    width: float = 0.5
    split: bool = True
    fitted: float = stacked.FITTED
    nearest: bool = False
    distill: float = 0.0


PARTS = {
    "as it is": Variant(),
    "whole kernels, no split": Variant(split=False),
    "fitted start as loose as a fresh one": Variant(fitted=1.0),
    "fresh start": Variant(fitted=0.0),
    "nearest selection": Variant(nearest=True),
    "nearest selection, fresh start": Variant(nearest=True, fitted=0.0),
    "distilled, half of the loss": Variant(distill=0.5),
    "all families": Variant("all"),
    "all families, whole kernels": Variant("all", split=False),
}


def closed_form(task: Task, variant: Variant) -> Plan | None:
    settings = SpaceSettings(FAMILIES[variant.kinds], ENDS, ENDS, tiles=() if variant.split else ((3, 3),))
    try:
        space = BudgetedSpace(SearchSpace(task.shape, settings), Budget(BUDGET))
    except InfeasibleBudget:
        return None
    return space.plan(space.solve(weighted_capture(space)))


def measure(variant: Variant, root: str, cache: Path) -> dict:
    """Accuracies of the packed networks over SEEDS; {} where the variant cannot be so small."""
    data = load_data(DATA, root=Path(root), limit=IMAGES)
    task = make_task(at_width(NETWORK, variant.width), data, RECIPE)
    plan = closed_form(task, variant)
    if plan is None:
        return {}
    teacher = make_task(task.shape.network, data, RECIPE).network
    train(teacher, data, RECIPE, checkpoint=cache / f"float-{variant.width:g}.pt")
    teacher.eval().requires_grad_(False)
    validation, test = [], []
    for seed in SEEDS:
        network = trained_network(task, plan, variant, teacher, seed)
        validation.append(accuracy(network, data.val_x, data.val_y))
        test.append(accuracy(network, *data.test()))
    cost = price(task.shape, plan)
    return {
        "network": task.shape.network, "file_bytes": cost.file_bytes, "paper_bits": cost.paper_bits,
        "accuracies": validation, "test_accuracies": test, "plan": plan.to_dict(),
    }  # fmt: skip


def trained_network(task: Task, plan: Plan, variant: Variant, teacher: nn.Module, seed: int) -> nn.Module:
    """The network of the packed child."""
    stacked.FITTED = variant.fitted or stacked.FITTED
    child = build_child(task.network, task.shape, plan, seed, teacher if variant.fitted else None)
    if variant.nearest:
        for layer in task.shape.layers:
            start = (teacher if variant.fitted else task.network).get_submodule(layer.name).weight
            generated = child.get_submodule(layer.name)
            if isinstance(generated.basis, stacked.StackedBasis):
                generated.basis = NearestBasis(generated.basis, start)
    recipe = dataclasses.replace(RECIPE, seed=seed, distill=variant.distill)
    train(child, task.data, recipe, teacher=teacher if variant.distill else None)
    return decode(encode(task.shape, plan, pack(child, task.shape, plan))).network()


def by_family(results: dict[str, dict]) -> str:
    heads = ("family", *(f"width {width:g}: test %" for width in WIDTHS))
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for family in FAMILIES:
        found = [results[f"{family}-{width:g}"] for width in WIDTHS]
        cells = [percent(one["test_accuracies"]) if one else "cannot be so small" for one in found]
        lines.append(f"| {' | '.join([family, *cells])} |")
    return "\n".join(lines)


def by_part(results: dict[str, dict]) -> str:
    heads = ("part", "file bytes", "paper bits", "validation %", "test %")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for part in PARTS:
        one = results[part]
        cells = [f"{one['file_bytes']:,}", f"{one['paper_bits']:,}"]
        lines.append(f"| {' | '.join([part, *cells, percent(one['accuracies']), percent(one['test_accuracies'])])} |")
    return "\n".join(lines)


def draw(results: dict[str, dict]) -> Figure:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for family, marker in zip(FAMILIES, "osv^Dx", strict=True):
        found = {width: one for width in WIDTHS if (one := results[f"{family}-{width:g}"])}
        accuracies = [[100 * value for value in one["test_accuracies"]] for one in found.values()]
        axes.errorbar(
            list(found), [statistics.fmean(one) for one in accuracies], [statistics.stdev(one) for one in accuracies],
            fmt=f"{marker}-", capsize=3, lw=2 if family == "all" else 1, label=family,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="width of every stage", ylabel="test accuracy of the file (%)")
    axes.set_xticks(WIDTHS, [f"{width:g}" for width in WIDTHS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(title=f"{BUDGET:,} bytes")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/ablations")
    options = parser.parse_args()
    cache, folder = Path(options.cache), Path(__file__).resolve().parent
    every = {f"{family}-{width:g}": Variant(family, width) for family in FAMILIES for width in WIDTHS} | PARTS
    first = {variant: name for name, variant in reversed(every.items())}  # the tables share some
    jobs = [(name, (variant, options.data_root, cache)) for variant, name in first.items()]
    trained = run_jobs(measure, jobs, cache)
    results = {name: trained[first[variant]] for name, variant in every.items()}
    tables = f"{by_family(results)}\n\n{by_part(results)}\n"
    (folder / "tables.md").write_text(tables)
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    draw(results).savefig(folder / "widths.png", dpi=160)
    print(tables)


if __name__ == "__main__":
    main()
