"""Methods at equal bytes of the file: trained alike, chosen on the validation split, the files read back at the end.

Each method at each budget is one job of `results.jobs`. A network is trained in floating point, then the compressed
child from its weights, both by the same recipe; both over several seeds, none of which chose the plan.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.targets.file.container import read
from bankwise.searching import SearchSettings, search
from bankwise.strategies.baselines import baseline
from bankwise.trainers.data import ImageData, load_data
from bankwise.trainers.evaluate import accuracy
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from bankwise.trainers.trial import run_trial
from results.jobs import run_jobs

FLOAT = "float32"


@dataclass(frozen=True)
class Study:
    """`searches` are settings by the name that the table gives them, for every budget (KiB). `widest` is the network
    of the other methods where `network`, of which the searches take widths, is wider than all of these. Of `images` the
    share `validation` validates."""

    network: str
    data: str
    images: int
    budgets: tuple[float, ...]
    recipe: Recipe
    searches: dict[str, SearchSettings]
    methods: tuple[str, ...]
    seeds: int = 3
    widest: str = ""
    validation: float = 1 / 6

    @property
    def full(self) -> str:
        return self.widest or self.network

    def load(self, root: str) -> ImageData:
        return load_data(self.data, root=Path(root), limit=self.images, validation=self.validation)


def searched(study: Study, root: str, folder: Path, kib: float, settings: SearchSettings) -> dict:
    found = search(study.network, study.load(root), round(kib * 1024), folder, settings).to_dict()
    plan = Plan.read(folder / "plan.yaml")
    keys = ("file_bytes", "paper_bits", "accuracies", "test_accuracies", "network", "architectures")
    uniform = found["baseline_uniform"]
    return {key: found[key] for key in keys} | {
        "plan": plan.to_dict(),
        "uniform": uniform and {"file_bytes": uniform["bytes"], **{key: uniform[key] for key in keys[1:4]}},
    }


def baselines(study: Study, root: str) -> dict[str, Plan | None]:
    """The plan of every method and budget by its label, None where the method cannot be so small."""
    data = study.load(root)
    found = {
        _label(method, kib): baseline(method, study.full, data.input_shape, data.classes, round(kib * 1024))
        for method in study.methods
        for kib in study.budgets
    }
    return {label: one and one.plan for label, one in found.items()}


def compared(study: Study, root: str, cache: Path, label: str, plan: Plan) -> dict:
    """A baseline's plan, trained as a searched one is."""
    data, validation, test = study.load(root), [], []
    for seed in range(study.seeds):
        recipe = dataclasses.replace(study.recipe, seed=seed)
        task = make_task(plan.network, data, recipe)
        train(task.network, data, recipe, checkpoint=cache / f"float-{plan.network}-{seed}.pt")
        task = dataclasses.replace(
            make_task(plan.network, data, recipe), teacher=task.network.eval().requires_grad_(False)
        )
        file = cache / label / f"seed{seed}.bankwise"
        validation.append(run_trial(task, plan, dataclasses.replace(recipe, seed=1 + seed), file=file).accuracy)
        test.append(accuracy(read(file).network(), *data.test()))
    cost = price(task.shape, plan)
    return {
        "file_bytes": cost.file_bytes, "paper_bits": cost.paper_bits, "accuracies": validation, "test_accuracies": test,
        "network": plan.network, "plan": plan.to_dict(),
    }  # fmt: skip


def floating(study: Study, root: str, cache: Path, seed: int) -> dict:
    data = study.load(root)
    recipe = dataclasses.replace(study.recipe, seed=seed)
    task = make_task(study.full, data, recipe)
    history = train(task.network, data, recipe, checkpoint=cache / f"float-{study.full}-{seed}.pt")
    return {
        "file_bytes": task.shape.float_bytes, "paper_bits": 32 * task.shape.weights,
        "accuracies": [history[-1].accuracy], "test_accuracies": [accuracy(task.network, *data.test())],
        "network": study.full,
    }  # fmt: skip


def run(study: Study, root: str, cache: Path) -> dict[str, dict]:
    """Every result by "NAME-BUDGET", {} where a method cannot be so small; what is through lies in `cache`."""
    jobs = [
        (_label(name, kib), (study, root, cache / f"search-{_label(name, kib)}", kib, settings))
        for name, settings in study.searches.items()
        for kib in study.budgets
    ]
    results = run_jobs(searched, jobs, cache)
    jobs = [(f"{FLOAT}-seed{seed}", (study, root, cache, seed)) for seed in range(study.seeds)]
    seeds = list(run_jobs(floating, jobs, cache).values())
    together = {key: sum((one[key] for one in seeds), []) for key in ("accuracies", "test_accuracies")}
    results[FLOAT] = seeds[0] | together
    plans = baselines(study, root)
    first = {}  # methods and budgets may share a plan, and train it once
    for label, plan in plans.items():
        if plan is not None:
            first.setdefault(json.dumps(plan.to_dict()), label)
    jobs = [(label, (study, root, cache, label, plans[label])) for label in first.values()]
    trained = run_jobs(compared, jobs, cache)
    for label, plan in plans.items():
        results[label] = trained[first[json.dumps(plan.to_dict())]] if plan else {}
    return results


def _label(name: str, kib: float) -> str:
    return f"{name.replace(' ', '-')}-{kib:g}KiB"


def percent(values: list[float]) -> str:
    return f"{100 * statistics.fmean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def _row(budget: str, name: str, found: dict) -> str:
    cells = [budget, name, found["network"], f"{found['file_bytes']:,}", f"{found['paper_bits']:,}"]
    return f"| {' | '.join([*cells, percent(found['accuracies']), percent(found['test_accuracies'])])} |"


def table(study: Study, results: dict[str, dict]) -> str:
    heads = ("budget", "method", "network", "file bytes", "paper bits", "validation %", "test %")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for kib in study.budgets:
        found = {name: results[_label(name, kib)] for name in (*study.searches, *study.methods)}
        for name in study.searches:
            if uniform := found[name]["uniform"]:
                found[f"best uniform plan, network as {name}"] = {**uniform, "network": found[name]["network"]}
        budget = f"{kib:g} KiB"
        for name, one in sorted(found.items(), key=lambda pair: -sum(pair[1].get("accuracies", [0]))):
            none = f"| {budget} | {name} | cannot be so small |" + " |" * 4
            lines.append(_row(budget, name, one) if one else none)
    lines.append(_row("", FLOAT, results[FLOAT]))
    return "\n".join(lines) + "\n"


def draw(study: Study, results: dict[str, dict]) -> Figure:
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate((*study.searches, *study.methods)):
        mine = [one for kib in study.budgets if (one := results[_label(name, kib)])]
        if not mine:
            continue
        axes.errorbar(
            [one["file_bytes"] / 1024 for one in mine],
            [100 * statistics.fmean(one["test_accuracies"]) for one in mine],
            [100 * statistics.stdev(one["test_accuracies"]) for one in mine],
            fmt="o-" if name in study.searches else "sv^<>dPX*h"[number % 10] + "--",
            capsize=3, lw=2 if name in study.searches else 1, label=name,
        )  # fmt: skip
    whole = results[FLOAT]
    label = f"float32, {whole['file_bytes'] / 1024:.0f} KiB"
    axes.axhline(100 * statistics.fmean(whole["test_accuracies"]), color="0.5", lw=1, label=label)
    axes.set(xscale="log", xlabel="file size (KiB)", ylabel="test accuracy of the file (%)")
    axes.set_xticks(study.budgets, [f"{kib:g}" for kib in study.budgets])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    return figure


def write(study: Study, root: str, cache: Path, folder: Path) -> None:
    """Run it, and write table.md, accuracy.png, results.json and the searched plans to `folder`."""
    results = run(study, root, cache)
    lines = table(study, results)
    (folder / "table.md").write_text(lines)
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    draw(study, results).savefig(folder / "accuracy.png", dpi=160)
    for name in study.searches:
        for kib in study.budgets:
            source = cache / f"search-{_label(name, kib)}" / "plan.yaml"
            shutil.copy(source, folder / f"plan-{_label(name, kib)}.yaml")
    print(lines)
