"""What many plans reach in one trained supernet, spread over the workers of a Ray cluster.

The supernet is trained once, in the driver (`Strategy.prepare`); evaluating a plan in it is short, and plans do not
depend on each other. Ray must be running (`strategies.ray.cluster.cluster`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import ray
import torch

from search_space.errors import BankwiseError
from search_space.plan import Plan
from search_space.supernet import Supernet
from strategies.job import EngineOptions
from strategies.ray.cluster import check_resources
from strategies.ray.shared import SharedImages
from trainers.data import ImageData
from trainers.supernet_training import evaluate_in_supernet
from trainers.task import Task

PARTS = 4  # tasks a worker, so that an early end of one does not leave it idle


def evaluate_all(
    supernet: Supernet, data: ImageData, indices: np.ndarray, images: int = 500, options: EngineOptions | None = None
) -> np.ndarray:
    """`evaluate_in_supernet` of every row of `indices` (plans, layers): accuracies (plans,), in their order."""
    options = options or EngineOptions()
    check_resources(options)
    indices = np.asarray(indices)
    if not len(indices):
        return np.empty(0)
    held, shared = ray.put(supernet), ray.put(SharedImages(data))
    task = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus)(_evaluate)
    parts = np.array_split(indices, min(len(indices), PARTS * options.workers))
    return np.concatenate(ray.get([task.remote(held, shared, part, images) for part in parts]))


def rank_plans(
    supernet: Supernet, task: Task, plans: Sequence[Plan], images: int = 500, options: EngineOptions | None = None
) -> list[tuple[Plan, float]]:
    """The plans with what they reach in the supernet, the best first; equal ones in their order."""
    indices = np.array([_indices(supernet, plan) for plan in plans], int)
    accuracies = evaluate_all(supernet, task.data, indices, images, options)
    order = np.argsort(-accuracies, kind="stable")
    return [(plans[i], float(accuracies[i])) for i in order]


def _evaluate(supernet: Supernet, shared: SharedImages, indices: np.ndarray, images: int) -> np.ndarray:
    supernet = supernet.to("cuda" if torch.cuda.is_available() else "cpu")
    return np.array([evaluate_in_supernet(supernet, shared.data, row, images) for row in indices])


def _indices(supernet: Supernet, plan: Plan) -> list[int]:
    found = []
    for name, layer in zip(supernet.names, supernet.layers, strict=True):
        if plan.layers.get(name) not in layer.choices:
            raise BankwiseError(f"layer {name!r}: {plan.layers.get(name)} is not among the supernet's choices")
        found.append(layer.choices.index(plan.layers[name]))
    return found
