"""What a search is about: a network, the data, how to train, and the trained uncompressed network to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from search_space.networks import build
from search_space.shape import NetworkShape
from search_space.trace import trace
from trainers.data import ImageData
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
