"""`bankwise nni`: from options to an NNI experiment's folder, and from an experiment to a plan and the next command."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bankwise.inputs import data_options
from bankwise.search_space.images import Images
from bankwise.search_space.plan import Plan
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.strategies.engines.nni.config import BUDGET_TUNER, Launch, write_folder
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.strategies.engines.nni.results import Best
from bankwise.strategies.engines.nni.source import anywhere
from bankwise.trainers.metric import find_metric
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.rehearsal import rehearse
from bankwise.trainers.store import TrialRecord
from bankwise.trainers.task import TaskSource


def init(
    folder: Path,
    source: TaskSource,
    budget: str,
    launch: Launch,
    recipe: Recipe,
    space: SpaceSettings,
    *,
    accounting: str = "file",
    max_ram: int | None = None,
    max_ops: int | None = None,
    trial_epochs: int = 8,
    seed: int = 0,
    teacher: bool = True,
    encoding: str | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Experiment:
    """Write the folder. Everything is tried before: the data are read, the network traced and rehearsed, the budget
    met. `tell` is called with each line on the images."""
    source, code = anywhere(source, recipe)
    task = source.make(recipe)
    shape, recipe = task.shape, rehearse(task, SearchSpace(task.shape, space).smallest)
    recipe = dataclasses.replace(recipe, metric=find_metric(recipe.metric, task.data.kind).name)  # for `show` to name
    experiment = Experiment(
        source=source,
        training=recipe,
        budget=budget,
        input_shape=shape.input_shape,
        classes=shape.classes,
        accounting=accounting,
        max_ram=max_ram,
        max_ops=max_ops,
        space=space,
        trial_epochs=trial_epochs,
        encoding=encoding or ("choice" if launch.tuner == BUDGET_TUNER else "importance"),
        teacher=teacher,
        seed=seed,
        code=code,
        identity=task.identity(),
    )
    write_folder(folder, experiment, launch)
    for line in task.data.lines():
        tell(line)
    return experiment


def best_plan(best: Best) -> Plan:
    """The plan, with what images it is for."""
    source, identity = best.experiment.source, best.experiment.identity or {}
    names = identity.get("class_names")
    return dataclasses.replace(best.plan, images=Images(source.normalization, None if names is None else tuple(names)))


def summary(best: Best, plan: Path) -> dict[str, Any]:
    """The best plan of an experiment as plain JSON values; it was written to `plan`."""
    return {
        "plan": str(plan),
        "metric": best.experiment.training.metric,
        "accuracy": best.accuracy,
        "file_bytes": best.cost.file_bytes,
        "paper_bits": best.cost.paper_bits,
        "bits_per_weight": best.cost.file_bits_per_weight,
        "budget": best.experiment.budget,
        "budget_bytes": best.experiment.budgeted.budget.bytes,
        "finished": best.finished,
        "failed": best.failed,
        "cancelled": best.cancelled,
        "running": best.running,
        "train": shlex.join(train_command(best, plan)),
    }


def trial_rows(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """Trials as plain JSON values: `codes` are the choices of the layers in their order."""
    return [
        {
            "status": record.status,
            "accuracy": None if record.metrics is None else record.metrics["accuracy"],
            "file_bytes": None if record.metrics is None else record.metrics.get("file_bytes"),
            "epochs": len(record.epochs),
            "codes": " ".join(choice.code() for choice in record.plan.layers.values()),
            "reason": record.reason,
        }
        for record in records
    ]


def train_command(best: Best, plan: Path) -> list[str]:
    """What trains the plan in full and exports it, by the experiment's recipe."""
    source = best.experiment.source
    command = ["bankwise", "train", "--plan", str(plan), "--data", source.data]
    for option in data_options(source):
        command += option
    command += ["--recipe", str(best.folder / "recipe.yaml"), "--seed", str(best.experiment.seed)]
    if not best.experiment.teacher:
        command.append("--no-teacher")
    return [*command, "--out", str(best.folder / "best")]
