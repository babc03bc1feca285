"""The trial: train the child of one plan and measure the file that it becomes. One function for every engine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from bankwise.search_space.files import write_bytes
from bankwise.search_space.layer import build_child
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.search_space.vector import NotFinite
from bankwise.trainers.evaluate import measure_on
from bankwise.trainers.group import Group
from bankwise.trainers.loop import Diverged, EpochReport, train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task


@dataclass(frozen=True)
class TrialResult:
    """`accuracy` (0 to 1; the recipe's metric) is of the packed network on the validation split; `epochs`
    that of each epoch before; `processes` trained it together."""

    accuracy: float
    file_bytes: int
    paper_bits: int
    bits_per_weight: float
    epochs: tuple[float, ...]
    seconds: float
    seed: int
    processes: int = 1

    def metrics(self) -> dict[str, object]:
        return dataclasses.asdict(self)


def run_trial(
    task: Task,
    plan: Plan,
    recipe: Recipe,
    *,
    file: Path | None = None,
    checkpoint: Path | None = None,
    report: Callable[[EpochReport], None] | None = None,
    group: Group | None = None,
    device: torch.device | str | None = None,
) -> TrialResult:
    """Train a child of `plan` by `recipe` (its seed included), pack it, and evaluate what was packed.

    With `file` the model file is written there; with `checkpoint` a killed trial resumes to the same result. The
    recipe's `distill` needs the task's teacher; a teacher also gives the start of the weights. The processes of a
    `group` train together (`bankwise.trainers.loop.train`) and all return what process 0 measured.
    """
    group = group or Group()
    child, history = train_child(task, plan, recipe, checkpoint, report, group, device)
    result = group.of_leader(_measure(task, plan, recipe, child, history, file, group.size) if group.leads else None)
    assert result is not None  # process 0 measured
    return result


def _measure(
    task: Task,
    plan: Plan,
    recipe: Recipe,
    child: nn.Module,
    history: list[EpochReport],
    file: Path | None,
    processes: int,
) -> TrialResult:
    cost = price(task.shape, plan)
    try:
        codes = pack(child, task.shape, plan)
    except NotFinite as error:
        raise Diverged(f"seed {recipe.seed} cannot be packed: {error}") from None
    data = encode(task.shape, dataclasses.replace(plan, images=task.data.images), codes)
    if file is not None:
        write_bytes(file, data)
    network = decode(data, allow_code=True, network=task.module).network()
    accuracy = measure_on(network, task.data, recipe.metric)
    if math.isnan(accuracy):
        raise Diverged(f"seed {recipe.seed}: the packed network gives outputs that are no numbers")
    return TrialResult(
        accuracy=accuracy,
        file_bytes=len(data),
        paper_bits=cost.paper_bits,
        bits_per_weight=cost.file_bits_per_weight,
        epochs=tuple(epoch.accuracy for epoch in history),
        seconds=sum(epoch.seconds for epoch in history),
        seed=recipe.seed,
        processes=processes,
    )


def train_child(
    task: Task,
    plan: Plan,
    recipe: Recipe,
    checkpoint: Path | None,
    report: Callable[[EpochReport], None] | None,
    group: Group,
    device: torch.device | str | None,
) -> tuple[nn.Module, list[EpochReport]]:
    child = build_child(task.network, task.shape, plan, recipe.seed, task.teacher)
    history = train(
        child,
        task.data,
        recipe,
        teacher=task.teacher,
        checkpoint=checkpoint,
        report=report,
        settings={"plan": plan.to_dict()},
        group=group,
        device=device,
    )
    return child.cpu(), history
