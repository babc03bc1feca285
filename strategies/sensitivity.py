"""Scores measured on the trained uncompressed network.

A choice's score is the log of the share of the layer's trained weight that it captures, the weight's channels weighted
by the energy of the activations they meet (so that it is the layer's output, not its weight, that is approximated).
The weight is fitted as in training: a bank by binary Lloyd iterations, nearest selection, least-squares scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Choice
from bankwise.search_space.modules import layer_at
from bankwise.search_space.shape import LayerShape
from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.frontier import frontier, scatter
from bankwise.strategies.scores import Scores, log_capture
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.task import Task

CHOICES = 24  # measured a layer
IMAGES = 500
LEAST_ENERGY = 1e-4  # of the mean: a channel that these images leave dark is not one that none uses


class Sensitivity(Strategy):
    name = "sensitivity"
    scores: Scores | None = None

    def prepare(
        self, task: Task, folder: Path | None = None, report: Callable[[EpochReport], None] | None = None
    ) -> None:
        self.scores = measured_capture(self.space, task)

    def _propose(self) -> np.ndarray | None:
        if self.scores is None:
            raise BankwiseError("strategy 'sensitivity' needs prepare() with a trained network before it proposes")
        return None if self.asked else self.space.solve(self.scores)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"scores": self.scores and [row.tolist() for row in self.scores]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.scores = state["scores"] and [np.array(row) for row in state["scores"]]


def measured_capture(space: BudgetedSpace, task: Task) -> Scores:
    """log of the captured share of every efficient choice of every layer; others get a score that avoids them."""
    if task.teacher is None:
        raise BankwiseError("strategy 'sensitivity' needs a trained uncompressed network")
    kept = frontier(space, log_capture(space), CHOICES)
    energies = input_energies(task.teacher, task)
    values = []
    for i, layer in enumerate(task.shape.layers):
        weight = layer_at(task.teacher, layer.name).weight.detach().cpu().reshape(layer.weight_shape)
        weighted = weight * energies[layer.name].sqrt()
        choices = space.choices(i)
        values.append(np.array([math.log(captured(layer, choices[j], weighted)) for j in kept[i]]))
    return scatter(space.sizes, kept, values)


def captured(layer: LayerShape, choice: Choice, weight: torch.Tensor) -> float:
    """Share of the weight's energy along its fitted approximation, in (0, 1]."""
    basis = choice.basis(layer, torch.Generator().manual_seed(0))
    with torch.no_grad():
        basis.start_from(weight)
        fitted = basis()
        along = (weight * fitted).sum((1, 2, 3)).square() / fitted.square().sum((1, 2, 3)).clamp(min=1e-12)
        return float((along.sum() / weight.square().sum().clamp(min=1e-12)).clamp(1e-6, 1.0))


def input_energies(network: nn.Module, task: Task) -> dict[str, torch.Tensor]:
    """Mean square of each layer's input channels over training images, shaped (1 or n, c, 1, 1), mean 1."""
    device = next(network.parameters()).device
    return channel_energies(network, task.shape.layers, task.data.to_input(task.data.train_x[:IMAGES].to(device)))


def channel_energies(network: nn.Module, layers: Sequence[LayerShape], images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same for `images` as the network takes them, on its device."""
    energies: dict[str, torch.Tensor] = {}
    hooks = []
    for layer in layers:

        def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...], layer: LayerShape = layer) -> None:
            x = inputs[0].detach()
            spatial = (
                x.flatten(2).square().mean((0, 2)) if layer.kind == "conv2d" else x.flatten(0, -2).square().mean(0)
            )
            grouped = spatial.reshape(layer.groups, layer.c)
            rows = grouped.repeat_interleave(layer.n // layer.groups, 0)[:, :, None, None].cpu()
            mean = rows.mean()
            rows = rows / mean if mean > 0 else torch.ones_like(rows)
            energies[layer.name] = rows.clamp(min=LEAST_ENERGY)

        hooks.append(network.get_submodule(layer.name).register_forward_pre_hook(keep))
    try:
        with torch.no_grad():
            network.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return energies
