"""Training of the supernet, and the accuracy of a plan with its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bankwise.search_space.supernet import Supernet
from bankwise.trainers.data import ImageData
from bankwise.trainers.evaluate import measure_on, recalibrate
from bankwise.trainers.loop import EpochReport, train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task

Report = Callable[[EpochReport], None]


def train_supernet(
    supernet: Supernet, task: Task, recipe: Recipe, checkpoint: Path | None = None, report: Report | None = None
) -> np.ndarray:
    """Train weights and architecture together; the logits after each epoch, float32 (epochs, layers, choices).

    `report` is called after every epoch. Raises what `train` raises.
    """
    supernet.reserve(recipe.epochs)
    choices = [[choice.code() for choice in layer.choices] for layer in supernet.layers]
    train(
        supernet,
        task.data,
        recipe,
        teacher=task.teacher,
        checkpoint=checkpoint,
        report=_recorded(supernet, report),
        settings={"budget": supernet.budget, "choices": choices},
    )
    logits: np.ndarray = supernet.history.numpy()
    return logits


def _recorded(supernet: Supernet, report: Report | None) -> Report:
    """Record the logits of each epoch in the supernet's own buffer, which its checkpoint holds."""

    def after(epoch: EpochReport) -> None:
        supernet.record(epoch.epoch)
        if report is not None:
            report(epoch)

    return after


def evaluate_in_supernet(supernet: Supernet, data: ImageData, indices: np.ndarray, images: int = 500) -> float:
    """The usual metric for the data's labels, of classes the accuracy (0 to 1), on the first `images` of the plan
    `indices` (layers,) with the supernet's weights.

    Batch norm statistics are estimated anew for it, on training images. The supernet itself is unchanged.
    """
    child = copy.deepcopy(supernet)
    child.choose(indices)
    recalibrate(child, data.train_x, batches=5, normalization=data.normalization)
    return measure_on(child, data, images=images)
