"""One layer compressed alone: the other layers of the trained network stay in floating point, and all adapt shortly.

With every layer compressed a few steps train nothing, and a path of a supernet says little of its plan. With one the
network goes on working, and what is lost is the layer's own (measured in results/bench).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.layer import build_child
from bankwise.search_space.plan import Plan
from bankwise.trainers.data import ImageData
from bankwise.trainers.loop import Diverged, train
from bankwise.trainers.task import Task

IMAGES = 2000  # of the validation split that are looked at


def adapted_alone(task: Task, plan: Plan, layer: int, steps: int) -> float:
    """The task's metric on the first IMAGES of the validation split after `steps` steps of the task's recipe, with the
    layer of that number compressed as `plan` says; NaN where the training diverged.

    The steps see the same training images in the same order, whatever is compressed. Raises BankwiseError where the
    task has no trained network.
    """
    if task.teacher is None:
        raise BankwiseError("a layer compressed alone needs a trained uncompressed network around it")
    recipe, data = task.recipe, shortened(task.data, steps * task.recipe.batch, task.recipe.seed)
    child = build_child(task.network, task.shape, plan, recipe.seed, task.teacher, task.shape.layers[layer : layer + 1])
    epochs = max(1, round(steps * recipe.batch / len(data.train_y)))
    try:
        history = train(child, data, dataclasses.replace(recipe, epochs=epochs), teacher=task.teacher)
    except Diverged:
        return math.nan
    return history[-1].accuracy


def shortened(data: ImageData, images: int, seed: int) -> ImageData:
    """`images` of the training images, drawn by `seed`, and the first IMAGES of the validation split."""
    some = np.random.default_rng(seed).permutation(len(data.train_y))[:images]
    return dataclasses.replace(
        data,
        train_x=data.train_x[some],
        train_y=data.train_y[some],
        val_x=data.val_x[:IMAGES],
        val_y=data.val_y[:IMAGES],
    )
