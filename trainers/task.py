"""What a search is about: a network, the data, how to train, and the trained uncompressed network to learn from."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from search_space.networks import build
from search_space.shape import NetworkShape
from search_space.trace import trace
from trainers.data import ImageData, load_data
from trainers.loop import EpochReport, train
from trainers.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """`network` is untrained; `teacher` (or None) has the same architecture, trained, in floating point."""

    network: nn.Module
    shape: NetworkShape
    data: ImageData
    recipe: Recipe
    teacher: nn.Module | None = None


def make_task(reference: str, data: ImageData, recipe: Recipe, keep: tuple[str, ...] = ()) -> Task:
    """Build and trace the network for the data's image size and classes."""
    channels = data.input_shape[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build(reference, classes=data.classes, in_channels=channels)
    shape = trace(network, reference, data.input_shape, data.classes, keep)
    return Task(network, shape, data, recipe)


def train_uncompressed(task: Task, recipe: Recipe, checkpoint: Path | None = None, report=None) -> list[EpochReport]:
    """Train `task.network` itself in floating point; it can then be the teacher."""
    return train(task.network, task.data, recipe, checkpoint=checkpoint, report=report)


@dataclass(frozen=True)
class TaskSource:
    """Where a task comes from, in plain values: another process that reaches the same data makes the same task."""

    network: str
    data: str
    recipe: Recipe
    data_root: str | None = None
    limit: int | None = None
    keep: tuple[str, ...] = ()
    validation: float | None = None

    def make(self, teacher: Path | None = None) -> Task:
        """The task; with `teacher`, the checkpoint of the uncompressed network's training, that network too.

        A training that is not there or not through is run to its end first.
        """
        data = load_data(self.data, root=self.data_root, limit=self.limit, validation=self.validation)
        task = make_task(self.network, data, self.recipe, self.keep)
        if teacher is None:
            return task
        uncompressed = copy.deepcopy(task.network)
        source = dataclasses.replace(task, network=uncompressed)
        train_uncompressed(source, dataclasses.replace(self.recipe, distill=0.0), teacher)
        return dataclasses.replace(task, teacher=uncompressed.cpu().eval().requires_grad_(False))

    def to_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self) | {"recipe": self.recipe.to_dict(), "keep": list(self.keep)}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> TaskSource:
        known = dict(values)
        return cls(**known | {"recipe": Recipe.from_dict(known["recipe"]), "keep": tuple(known.get("keep", ()))})
