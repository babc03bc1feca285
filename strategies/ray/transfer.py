"""How far a trial is, beside its saved state; and what a child takes over from the child of another plan.

Population-based training lets a trial go on from the checkpoint of a better one under a perturbed config. If that
config decodes to another plan, banks have other sizes, and no optimizer state fits. The new child then takes each
layer's weight as the other child had it (fitted to its own choice: up to a scale the same where the choice is), norms,
biases and kept tensors, and trains the epochs that are left, at least one, with a fresh optimizer and schedule. A
recipe that distills has a trained teacher, whose weights are the better start: then only the epochs are taken over.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from search_space.errors import BankwiseError
from search_space.files import write_text
from search_space.layer import GeneratedLayer, build_child
from search_space.plan import Plan
from trainers.checkpoint import load_checkpoint
from trainers.recipe import Recipe
from trainers.task import Task


@dataclass(frozen=True)
class Progress:
    """A trial of `plan`: `accuracies` of the epochs reported so far and the `seconds` they took; the first `base` of
    them were another plan's."""

    plan: Plan
    base: int = 0
    accuracies: tuple[float, ...] = ()
    seconds: float = 0.0

    @property
    def reported(self) -> int:
        return len(self.accuracies)

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(dataclasses.asdict(self) | {"plan": self.plan.to_dict()}))

    @classmethod
    def read(cls, path: Path) -> Progress:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            plan = Plan.from_dict(values["plan"])
            return cls(plan, int(values["base"]), tuple(values["accuracies"]), float(values["seconds"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BankwiseError(f"{str(path)!r} is not the progress of a trial: {error}") from None


def take_over(task: Task, before: Progress, state: Path, plan: Plan, recipe: Recipe) -> tuple[Task, Progress]:
    """The task that a child of `plan` trains on after one of `before.plan`, saved at `state`, and how far it is."""
    if not state.exists():
        return task, Progress(plan)
    saved = load_checkpoint(state)
    done = min(before.base + len(saved["history"]), recipe.epochs - 1)
    progress = Progress(plan, done, before.accuracies[:done], before.seconds)
    if recipe.distill:
        return task, progress
    child = build_child(task.network, task.shape, before.plan, recipe.seed)
    child.load_state_dict(saved["model"])
    return dataclasses.replace(task, teacher=dense(child, task.network)), progress


@torch.no_grad()
def dense(child: nn.Module, network: nn.Module) -> nn.Module:
    """A copy of `network`, the ordinary one, with the weights that the child computes with."""
    wanted = network.state_dict()
    state = {name: value for name, value in child.state_dict().items() if name in wanted}
    for name, layer in child.named_modules(remove_duplicate=False):
        if isinstance(layer, GeneratedLayer):
            state[f"{name}.weight"] = layer.weight().reshape(wanted[f"{name}.weight"].shape)
            if f"{name}.bias" in wanted and layer.bias is None:
                state[f"{name}.bias"] = torch.zeros_like(wanted[f"{name}.bias"])
    copied = copy.deepcopy(network)
    copied.load_state_dict(state)
    return copied.eval().requires_grad_(False)
