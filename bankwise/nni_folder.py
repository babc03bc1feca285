"""`bankwise nni`: from options to an NNI experiment's folder, and from an experiment to a plan and the next command."""

from __future__ import annotations

import shlex
from pathlib import Path

from search_space.space import SpaceSettings
from strategies.nni.config import BUDGET_TUNER, Launch, write_folder
from strategies.nni.experiment import Experiment
from strategies.nni.results import Best
from strategies.nni.source import anywhere
from trainers.recipe import Recipe
from trainers.task import TaskSource


def init(
    folder: Path,
    network: str,
    data: str,
    budget: str,
    launch: Launch,
    recipe: Recipe,
    space: SpaceSettings,
    *,
    accounting: str = "file",
    max_ram: int | None = None,
    max_ops: int | None = None,
    data_root: Path | None = None,
    limit: int | None = None,
    validation: float | None = None,
    trial_epochs: int = 8,
    seed: int = 0,
    teacher: bool = True,
    encoding: str | None = None,
) -> Experiment:
    """Write the folder. Everything is tried before: the data are read, the network traced, the budget met."""
    root = None if data_root is None else str(data_root)
    source, code = anywhere(TaskSource(network, data, recipe, root, limit, space.keep, validation))
    shape = source.make().shape
    experiment = Experiment(
        source=source,
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
    )
    write_folder(folder, experiment, launch)
    return experiment


def told(best: Best, plan: Path) -> dict:
    """The best plan of an experiment as plain JSON values; it was written to `plan`."""
    return {
        "plan": str(plan),
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


def train_command(best: Best, plan: Path) -> list[str]:
    """What trains the plan in full and exports it, by the experiment's recipe."""
    source = best.experiment.source
    command = ["bankwise", "train", "--plan", str(plan), "--data", source.data]
    if source.data_root is not None:
        command += ["--data-root", source.data_root]
    if source.limit is not None:
        command += ["--limit", str(source.limit)]
    if source.validation is not None:
        command += ["--validation", str(source.validation)]
    command += ["--recipe", str(best.folder / "recipe.yaml"), "--seed", str(best.experiment.seed)]
    if not best.experiment.teacher:
        command.append("--no-teacher")
    return [*command, "--out", str(best.folder / "best")]
