"""What a child takes over from the child of another plan.

Population-based training lets a trial go on from the checkpoint of a better one under a perturbed config. If that
config decodes to another plan, banks have other sizes, and no optimizer state fits. The new child then takes each
layer's weight as the other child had it (fitted to its own choice: up to a scale the same where the choice is), norms,
biases and kept tensors, and trains the epochs that are left, at least one, with a fresh optimizer and schedule. A
recipe that distills has a trained teacher, whose weights are the better start: then only the epochs are taken over.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
from torch import nn

from bankwise.search_space.layer import GeneratedLayer, build_child
from bankwise.search_space.plan import Plan
from bankwise.trainers.checkpoint import load_checkpoint
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task


def take_over(task: Task, plan: Plan, base: int, state: Path, recipe: Recipe) -> tuple[Task, int]:
    """The task that a child of another plan trains on after the child of `plan` saved at `state`, and how many epochs
    it has behind it then: the saved ones after `base` others, all but one at most; none where nothing was saved."""
    if not state.exists():
        return task, 0
    saved = load_checkpoint(state)
    done = min(base + len(saved["history"]), recipe.epochs - 1)
    if recipe.distill:
        return task, done
    child = build_child(task.network, task.shape, plan, recipe.seed)
    child.load_state_dict(saved["model"])
    return dataclasses.replace(task, teacher=dense(child, task.network)), done


@torch.no_grad()
def dense(child: nn.Module, network: nn.Module) -> nn.Module:
    """A copy of `network`, the ordinary one, with the weights that the child computes with."""
    wanted = network.state_dict()
    state = {name: value for name, value in child.state_dict().items() if name in wanted}
    for name, layer in child.named_modules(remove_duplicate=False):
        if isinstance(layer, GeneratedLayer):
            state[f"{name}.weight"] = layer.generated().reshape(wanted[f"{name}.weight"].shape)
            if f"{name}.bias" in wanted and layer.bias is None:
                state[f"{name}.bias"] = torch.zeros_like(wanted[f"{name}.bias"])
    copied = copy.deepcopy(network)
    copied.load_state_dict(state)
    return copied.eval().requires_grad_(False)
