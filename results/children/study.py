"""What each part of a child's training is worth at equal bytes, on three networks.

    python results/children/study.py --data-root DATA        (about 30 minutes on 2 cores)

A float network is trained, and from it the child of the closed form's plan, for 12 epochs. Each part alone changes how
the child is trained, never its bytes. Accuracies are of the packed network on the validation split; the test set is
not read. What is through lies in runs/children, so that a command that was stopped goes on. Writes table.md and
results.json.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import nn

from bankwise.planning import solve
from bankwise.search_space.families import sparse, stacked
from bankwise.search_space.families.stacked import StackedBasis
from bankwise.search_space.layer import GeneratedLayer, build_child
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.strategies.sensitivity import channel_energies
from bankwise.trainers.data import ImageData, load_data
from bankwise.trainers.evaluate import accuracy_on
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task
from results.ablations.nearest import NearestBasis
from results.jobs import run_jobs


@dataclass(frozen=True)
class Setting:
    """Up to `images` of a data set, of which the share `validation` validates; the budget is of the whole file."""

    network: str
    data: str
    budget: int
    images: int
    validation: float

    @property
    def label(self) -> str:
        return f"{self.network}-{self.data}"


SETTINGS = (
    Setting("small@0.25", "fashion-mnist", 1200, 12_000, 1 / 3),
    Setting("small@0.5", "cifar10", 3072, 9000, 1 / 3),
    Setting("resnet8@0.5", "cifar10", 1536, 7500, 2 / 5),
)
SEEDS = 3
BASE = Recipe(threads=1, whiten=True, shift=2)
FLOAT, CHILD = 8, 12  # epochs
FURTHER = 10.0  # in place of 3: how far fitted banks and proxies start from zero, in units of fresh ones
LATE = 0.3  # of the steps, the last ones, in which selections are frozen
IMAGES = 500  # that channel energies are measured on


@functools.lru_cache(maxsize=1)
def images(setting: Setting, root: str) -> ImageData:
    return load_data(setting.data, root=Path(root), limit=setting.images, validation=setting.validation)


def floating(setting: Setting, root: str, cache: Path, seed: int) -> dict:
    task = taught(setting, root, cache, seed)
    return {"accuracy": accuracy_on(task.network, task.data)}


def taught(setting: Setting, root: str, cache: Path, seed: int) -> Task:
    """The task with its trained float network."""
    recipe = dataclasses.replace(BASE, seed=seed, epochs=FLOAT)
    task = make_task(setting.network, images(setting, root), recipe)
    train(task.network, task.data, recipe, checkpoint=cache / f"float-{setting.label}-{seed}.pt")
    return dataclasses.replace(task, teacher=task.network.eval().requires_grad_(False))


Build = Callable[[Task, Plan, Recipe], nn.Module]


def usual(task: Task, plan: Plan, recipe: Recipe) -> nn.Module:
    return build_child(task.network, task.shape, plan, recipe.seed, task.teacher)


def further(task: Task, plan: Plan, recipe: Recipe) -> nn.Module:
    """A sign or a selection takes more steps to change."""
    before = stacked.FITTED, sparse.FITTED
    stacked.FITTED = sparse.FITTED = FURTHER
    try:
        return usual(task, plan, recipe)
    finally:
        stacked.FITTED, sparse.FITTED = before


def frozen(task: Task, plan: Plan, recipe: Recipe) -> nn.Module:
    """Selections settle; banks, norms and the other layers go on (the way of SSVQ 2025)."""
    child = usual(task, plan, recipe)

    def begin_step(progress: float) -> None:
        if progress >= 1 - LATE:
            for basis in selections(child):
                basis.proxies.requires_grad_(False)

    child.begin_step = begin_step  # type: ignore[assignment]
    return child


def nearest(task: Task, plan: Plan, recipe: Recipe) -> nn.Module:
    """Slots take the nearest bank filter of a latent weight, in place of proxies of their own."""
    child = usual(task, plan, recipe)
    for layer in task.shape.layers:
        generated = child.get_submodule(layer.name)
        if isinstance(generated.basis, StackedBasis):
            assert task.teacher is not None
            generated.basis = NearestBasis(generated.basis, task.teacher.get_submodule(layer.name).weight)
    return child


def calibrated(task: Task, plan: Plan, recipe: Recipe) -> nn.Module:
    """Banks and selections are fitted to the weight times the energy of the channel that each part meets: signs that
    are nearest by squared errors so weighed."""
    assert task.teacher is not None
    child = usual(task, plan, recipe)
    seen = channel_energies(task.teacher, task.shape.layers, task.data.to_input(task.data.train_x[:IMAGES]))
    for layer in task.shape.layers:
        basis = child.get_submodule(layer.name).basis
        if isinstance(basis, StackedBasis):
            weight = task.teacher.get_submodule(layer.name).weight.detach().reshape(layer.weight_shape)
            basis.start_from(weight * seen[layer.name])
    return child


def stepwise(task: Task, plan: Plan, recipe: Recipe) -> nn.Module:
    """The first half of the epochs trains the child of twice the bytes; the child proper is fitted to its weights."""
    half = dataclasses.replace(recipe, epochs=recipe.epochs // 2, seed=recipe.seed + 100)
    richer = solve(task.shape, 2 * task_budget(task))
    first = usual(task, richer, half)
    train(first, task.data, half)
    weights = copy.deepcopy(task.network)
    state = {name: value for name, value in first.state_dict().items() if name in weights.state_dict()}
    for layer in task.shape.layers:
        generated = first.get_submodule(layer.name)
        assert isinstance(generated, GeneratedLayer)
        state[f"{layer.name}.weight"] = generated.weight.detach()
        if generated.bias is not None:
            state[f"{layer.name}.bias"] = generated.bias.detach()
    weights.load_state_dict(state)
    return usual(dataclasses.replace(task, teacher=weights.eval().requires_grad_(False)), plan, recipe)


def selections(child: nn.Module) -> list[StackedBasis]:
    return [module for module in child.modules() if isinstance(module, StackedBasis)]


def task_budget(task: Task) -> int:
    return next(one.budget for one in SETTINGS if one.network == task.shape.network)


PARTS: dict[str, tuple[Build, dict[str, object]]] = {
    "base": (usual, {}),
    "banks and proxies further from zero": (further, {}),
    "weights averaged, last 1/4": (usual, {"average": 0.25}),
    "selections frozen, last 3/10": (frozen, {}),
    "nearest selections": (nearest, {}),
    "calibrated fits": (calibrated, {}),
    "half of the epochs at twice the bytes": (stepwise, {"epochs": CHILD - CHILD // 2}),
    "distilled, half of the loss": (usual, {"distill": 0.5}),
}


def measure(setting: Setting, part: str, root: str, cache: Path, seed: int) -> dict:
    """The packed child's accuracy on the validation split."""
    build, changes = PARTS[part]
    task = taught(setting, root, cache, seed)
    plan = solve(task.shape, setting.budget)
    recipe = dataclasses.replace(BASE, seed=seed + 1, epochs=CHILD)
    child = build(task, plan, recipe)
    recipe = dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]
    history = train(child, task.data, recipe, teacher=task.teacher)
    network = decode(encode(task.shape, plan, pack(child, task.shape, plan))).network()
    return {
        "accuracy": accuracy_on(network, task.data),
        "plan": plan.text,
        "seconds": sum(epoch.seconds for epoch in history),
    }


def table(results: dict[str, dict[str, list[dict]]], floats: dict[str, list[float]]) -> str:
    """Means, and gains over the base of the same seed."""
    heads = ["part", *(f"{one.network}, {one.data}, {one.budget:,} B" for one in SETTINGS)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines.append(f"| float32 | {' | '.join(spread(floats[one.label]) for one in SETTINGS)} |")
    for part in PARTS:
        cells = []
        for setting in SETTINGS:
            own, base = ([one["accuracy"] for one in results[setting.label][name]] for name in (part, "base"))
            gains = [100 * (mine - other) for mine, other in zip(own, base, strict=True)]
            gain = "" if part == "base" else f" ({statistics.fmean(gains):+.1f} ± {statistics.stdev(gains):.1f})"
            cells.append(spread(own) + gain)
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    return f"{100 * statistics.fmean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/children")
    parser.add_argument("--workers", type=int, help="trainings at a time; default: one a core")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache, folder = Path(options.cache), Path(__file__).resolve().parent
    cache.mkdir(parents=True, exist_ok=True)
    shared = (options.data_root, cache)
    jobs = [(f"float-{one.label}-{seed}", (one, *shared, seed)) for one in SETTINGS for seed in range(SEEDS)]
    trained = run_jobs(floating, jobs, cache, options.workers)
    keys = [(seed, one, part) for seed in range(SEEDS) for part in PARTS for one in SETTINGS]
    names = {key: f"{key[1].label}-{key[2].replace(' ', '-').replace('/', '-')}-{key[0]}" for key in keys}
    found = run_jobs(measure, [(names[key], (key[1], key[2], *shared, key[0])) for key in keys], cache, options.workers)
    results = {
        one.label: {part: [found[names[seed, one, part]] for seed in range(SEEDS)] for part in PARTS}
        for one in SETTINGS
    }
    floats = {
        one.label: [trained[f"float-{one.label}-{seed}"]["accuracy"] for seed in range(SEEDS)] for one in SETTINGS
    }
    (folder / "results.json").write_text(json.dumps({"children": results, "float32": floats}, indent=1) + "\n")
    (folder / "table.md").write_text(table(results, floats))
    print(table(results, floats))


if __name__ == "__main__":
    main()
