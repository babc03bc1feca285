"""A supernet of paths, to be compared with layers compressed one at a time in networks of their own.

Every choice of every layer has a trainable layer of its own, fitted to the trained network, and a batch norm of its
own; at each step one path trains. `alone`: one layer takes a choice, the others are in floating point, and shared.
Otherwise every layer takes one. Every choice of a layer comes equally often (strict fairness, Chu et al., ICCV 2021).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from bankwise.search_space.layer import GeneratedLayer, replace_module
from bankwise.search_space.modules import layer_at
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.gradient import CHOICES, make_supernet
from bankwise.strategies.scores import log_capture
from bankwise.trainers.evaluate import measure_on, recalibrate
from bankwise.trainers.loop import train
from bankwise.trainers.supernet_training import evaluate_in_supernet, train_supernet
from bankwise.trainers.task import Task


class Option(nn.Module):
    """The one of `options` that stands at `place` of the path."""

    def __init__(self, options: Sequence[nn.Module], path: list[int], place: int) -> None:
        super().__init__()
        self.options, self.path, self.place = nn.ModuleList(options), path, place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.options[self.path[self.place]](x)


class Paths(nn.Module):
    """`kept` are the choices of each layer; place len(kept[layer]) of a path is the layer in floating point."""

    def __init__(self, task: Task, space: BudgetedSpace, kept: Sequence[np.ndarray], alone: bool, seed: int) -> None:
        super().__init__()
        assert task.teacher is not None
        self.network = copy.deepcopy(task.teacher).requires_grad_(True)
        self.sizes = [len(indices) for indices in kept]
        self.path, generator = list(self.sizes), torch.Generator().manual_seed(seed)
        for i, layer in enumerate(task.shape.layers):
            original = layer_at(self.network, layer.name)
            options = []
            for index in kept[i]:
                option = GeneratedLayer(
                    layer, space.choices(i)[index], getattr(original, "padding_mode", "zeros"), generator
                )
                option.start_from(original.weight.detach(), original.bias)
                options.append(option)
            replace_module(self.network, layer.name, Option([*options, original], self.path, i))
            if layer.norm:
                norm = self.network.get_submodule(layer.norm)
                norms = [copy.deepcopy(norm) for _ in range(len(kept[i]) + 1)]
                replace_module(self.network, layer.norm, Option(norms, self.path, i))
        self._paths = self._drawn(alone, np.random.default_rng(seed))

    def _drawn(self, alone: bool, rng: np.random.Generator) -> Iterator[list[int]]:
        while True:
            if alone:
                pairs = [(i, place) for i, size in enumerate(self.sizes) for place in range(size)]
                for number in rng.permutation(len(pairs)):
                    layer, place = pairs[number]
                    yield [*self.sizes[:layer], place, *self.sizes[layer + 1 :]]
            else:
                most = max(self.sizes)
                rounds = [
                    np.concatenate([rng.permutation(size) for _ in range(-(-most // size))]) for size in self.sizes
                ]
                yield from ([int(row[step]) for row in rounds] for step in range(most))

    def begin_step(self, progress: float) -> None:
        """The training loop calls it before each step."""
        self.path[:] = next(self._paths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    def accuracy(self, task: Task, path: Sequence[int]) -> float:
        """Of a path, with batch norm statistics of its own."""
        self.path[:] = path
        recalibrate(self, task.data.train_x, batches=task.recipe.recalibrate, normalization=task.data.normalization)
        return measure_on(self, task.data)


def nearest(space: BudgetedSpace, kept: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Of every layer the place among `kept` of the choice whose log capture is nearest to that of each, (choices,)."""
    return [
        np.abs(row[:, None] - row[indices]).argmin(1) for row, indices in zip(log_capture(space), kept, strict=True)
    ]


def one_at_a_time(space: BudgetedSpace, task: Task, kept: Sequence[np.ndarray]) -> list[list[float]]:
    """Accuracies of the choices `kept` of each layer, each alone, after one supernet was trained by the task's
    recipe."""
    supernet = Paths(task, space, kept, alone=True, seed=task.recipe.seed)
    train(supernet, task.data, task.recipe)
    return [
        [supernet.accuracy(task, [*supernet.sizes[:i], place, *supernet.sizes[i + 1 :]]) for place in range(size)]
        for i, size in enumerate(supernet.sizes)
    ]


def all_at_once(space: BudgetedSpace, task: Task, kept: Sequence[np.ndarray], plans: np.ndarray) -> list[float]:
    """Accuracies of `plans` (plans, layers), each by its nearest path, after one supernet was trained by the task's
    recipe with every layer compressed at every step."""
    supernet, places = Paths(task, space, kept, alone=False, seed=task.recipe.seed), nearest(space, kept)
    train(supernet, task.data, task.recipe)
    return [supernet.accuracy(task, [int(row[i]) for row, i in zip(places, plan, strict=True)]) for plan in plans]


def mixture(space: BudgetedSpace, task: Task, plans: np.ndarray) -> list[list[float]]:
    """Of the strategy `gradient`'s supernet, trained by the task's recipe: the sums of its logits for `plans`, averaged
    over the second half of the training and interpolated over log capture, and the accuracies of their nearest paths
    with its weights."""
    supernet, kept = make_supernet(space, task, task.recipe.seed, CHOICES)
    logits = train_supernet(supernet, task, task.recipe)
    late = logits[len(logits) // 2 :].mean(0)
    captures, places = log_capture(space), nearest(space, kept)
    sums, accuracies = np.zeros(len(plans)), []
    for i, indices in enumerate(kept):
        order = np.argsort(captures[i][indices])
        sums += np.interp(captures[i][plans[:, i]], captures[i][indices][order], late[i, : len(indices)][order])
    for plan in plans:
        path = np.array([row[i] for row, i in zip(places, plan, strict=True)])
        accuracies.append(evaluate_in_supernet(supernet, task.data, path, len(task.data.val_y)))
    return [sums.tolist(), accuracies]
