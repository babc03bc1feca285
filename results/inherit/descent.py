"""Trials that start from a trained child: what they take over from it, and which one it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from bankwise.search_space.layer import build_child
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.scores import weighted_capture
from bankwise.trainers.evaluate import measure_on
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task

FITS = ("teacher", "parent")  # whose weight a changed layer is fitted to


@dataclass(frozen=True)
class Trained:
    """A trained child, the indices of its plan (layers,), and how many ancestors it descends from."""

    indices: tuple[int, ...]
    plan: Plan
    network: nn.Module
    generation: int = 0


def start(task: Task, plan: Plan, seed: int, parent: Trained | None, fit: str) -> nn.Module:
    """A child of `plan` before its training: from the float network, or from `parent`. Then layers of the same choice
    keep their parameters, latent ones included, and norms are the parent's; the other layers are fitted to the float
    network's weight (`fit` "teacher") or to that which the parent's layer generates ("parent")."""
    child = build_child(task.network, task.shape, plan, seed, task.teacher)
    if parent is None:
        return child
    changed = [layer.name for layer in task.shape.layers if plan.layers[layer.name] != parent.plan.layers[layer.name]]
    if fit == "parent":
        for name in changed:
            layer = parent.network.get_submodule(name)
            child.get_submodule(name).start_from(layer.generated().detach(), layer.bias)
    of_changed = tuple(f"{name}." for name in changed)
    kept = {name: value for name, value in parent.network.state_dict().items() if not name.startswith(of_changed)}
    child.load_state_dict(child.state_dict() | kept)
    return child


def try_plan(
    task: Task, space: BudgetedSpace, indices: Sequence[int], recipe: Recipe, parent: Trained | None, fit: str
) -> tuple[Trained, float]:
    """The trained child and the validation accuracy of what it is packed to."""
    plan = space.plan(indices)
    child = start(task, plan, recipe.seed, parent, fit)
    train(child, task.data, recipe)
    packed = encode(task.shape, dataclasses.replace(plan, images=task.data.images), pack(child, task.shape, plan))
    accuracy = measure_on(decode(packed, allow_code=True).network(), task.data, recipe.metric)
    generation = 0 if parent is None else 1 + parent.generation
    return Trained(tuple(map(int, indices)), plan, child, generation), accuracy


class Nearness:
    """Which plans are near: those that share most choices, of these the one whose layers' closed-form scores differ
    least."""

    def __init__(self, space: BudgetedSpace) -> None:
        self.scores = weighted_capture(space)

    def distance(self, one: Sequence[int], other: Sequence[int]) -> tuple[int, float]:
        """Changed layers, then the sum of differences of score."""
        moved = sum(abs(float(row[i] - row[j])) for row, i, j in zip(self.scores, one, other, strict=True))
        return len(one) - shared(one, other), moved

    def nearest(self, indices: Sequence[int], among: Sequence[Trained]) -> Trained | None:
        """The earliest of the nearest; None among none."""
        return min(among, key=lambda trained: self.distance(indices, trained.indices), default=None)


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Layers of the same choice."""
    return int((np.asarray(one) == np.asarray(other)).sum())
