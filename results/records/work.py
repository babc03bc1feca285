"""The jobs of the records: a float network, a child from its weights, and a file measured on the test set."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import InfeasibleBudget
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace, SpaceSettings
from bankwise.search_space.targets.file.container import read
from bankwise.search_space.trace import shape_of
from bankwise.strategies.baselines import baseline
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import log_rate, weighted_capture
from bankwise.trainers.data import ImageData, load_data
from bankwise.trainers.evaluate import accuracy_on
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task
from bankwise.trainers.trial import run_trial
from results.records.ladders import Ladder

PASSES = 3  # of a training step: forward, and twice as much backward
CLASSES, CHANNELS = 10, {"mnist": (1, 28, 28), "fashion-mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
CLOSED_FORMS = {"capture": weighted_capture, "rate": log_rate}


@lru_cache(maxsize=1)
def images(data: str, root: str, limit: int | None, validation: float) -> ImageData:
    return load_data(data, root=Path(root), limit=limit, validation=validation)


def load(ladder: Ladder, root: str) -> ImageData:
    return images(ladder.data, root, ladder.limit, ladder.validation)


def plans(ladder: Ladder, network: str, size: int) -> dict[str, Plan]:
    """The best plan in `size` bytes by each of the ladder's closed forms, without repeats; none where none fits."""
    shape = shape_of(network, CHANNELS[ladder.data], CLASSES)
    try:
        space = BudgetedSpace(SearchSpace(shape, SpaceSettings().within(size, shape)), Budget(size))
    except InfeasibleBudget:
        return {}
    found: dict[str, Plan] = {}
    for score in ladder.scores:
        plan = space.plan(space.solve(CLOSED_FORMS[score](space)))
        if plan not in found.values():
            found[score] = plan
    return found


def by_method(ladder: Ladder, method: str, network: str, size: int) -> Plan | None:
    """What `method` (`strategies.baselines`) makes of `size` bytes: of the row's network, or, where it narrows one, of
    the ladder's widest. None where it cannot be so small."""
    widest = list(ladder.networks.values())[-1][-1]
    whole = widest if method.startswith("narrower") else network
    found = baseline(method, whole, CHANNELS[ladder.data], CLASSES, size)
    return None if found is None else found.plan


def recipe_of(ladder: Ladder, seed: int, epochs: int) -> Recipe:
    return dataclasses.replace(ladder.recipe, seed=seed, epochs=epochs)


def trained(ladder: Ladder, root: str, cache: Path, network: str, seed: int) -> tuple[Task, list]:
    """The task with its float network as the teacher, trained or read from its checkpoint, and the history."""
    recipe = dataclasses.replace(recipe_of(ladder, seed, ladder.floating), distill=0.0)
    task = make_task(network, load(ladder, root), recipe)
    history = train(task.network, task.data, recipe, checkpoint=cache / f"float-{network}-{seed}.pt")
    return dataclasses.replace(task, teacher=task.network.eval().requires_grad_(False)), history


def petaflop(shape: NetworkShape, data: ImageData, epochs: int) -> float:
    """Floating-point operations of a training in 10^15: two a multiply-add, PASSES passes."""
    multiply_adds = sum(layer.weights * layer.positions for layer in shape.layers)
    return 2 * PASSES * multiply_adds * len(data.train_y) * epochs / 1e15


def floating(ladder: Ladder, root: str, cache: Path, network: str, seed: int) -> dict:
    task, history = trained(ladder, root, cache, network, seed)
    return {
        "accuracy": accuracy_on(task.network, task.data),
        "seconds": sum(epoch.seconds for epoch in history),
        "petaflop": petaflop(task.shape, task.data, len(history)),
        "bytes": task.shape.float_bytes,
    }


def child(ladder: Ladder, root: str, cache: Path, plan: Plan, seed: int, epochs: int, file: Path | None) -> dict:
    """A child of the float network of that seed; with `file` it is written there, and its training resumes."""
    task, _ = trained(ladder, root, cache, plan.network, seed)
    checkpoint = None if file is None else file.with_suffix(".pt")
    result = run_trial(task, plan, recipe_of(ladder, seed + 1, epochs), file=file, checkpoint=checkpoint)
    cost = price(task.shape, plan)
    return {
        "accuracy": result.accuracy,
        "network": plan.network,
        "plan": plan.to_dict(),
        "epochs": epochs,
        "codes": list(plan.codes.values()),
        "file_bytes": cost.file_bytes,
        "device_bytes": cost.device_bytes,
        "weights": task.shape.weights,
        "seconds": result.seconds,
        "petaflop": petaflop(task.shape, task.data, epochs),
    }


def measured(ladder: Ladder, root: str, cache: Path, file: Path) -> dict:
    """The test accuracy of a file, as it lies on disk, in float32."""
    found = read(file)
    return {"accuracy": accuracy_on(found.network(), load(ladder, root), "test"), "file_bytes": found.size}
