"""Training of the supernet, and what a plan reaches in it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from search_space.supernet import Supernet
from trainers.data import ImageData
from trainers.evaluate import accuracy, recalibrate
from trainers.loop import EpochReport, train
from trainers.recipe import Recipe
from trainers.task import Task


def train_supernet(
    supernet: Supernet, task: Task, recipe: Recipe, checkpoint: Path | None = None, report=None
) -> np.ndarray:
    """Train weights and architecture together; the logits after each epoch, (epochs, layers, choices)."""
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
    return supernet.history.numpy()


def _recorded(supernet: Supernet, report):
    """Record the logits of each epoch in the supernet's own buffer, which its checkpoint holds."""

    def after(epoch: EpochReport) -> None:
        supernet.record(epoch.epoch)
        if report is not None:
            report(epoch)

    return after


def evaluate_in_supernet(supernet: Supernet, data: ImageData, indices: np.ndarray, images: int = 500) -> float:
    """Validation accuracy (0 to 1) of one plan with the supernet's weights, batch norms estimated anew for it."""
    child = copy.deepcopy(supernet)
    child.choose(indices)
    recalibrate(child, data.train_x, batches=5)
    return accuracy(child, data.val_x[:images], data.val_y[:images])
