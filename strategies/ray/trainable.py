"""The trainable of Ray Tune: one trial, reported and saved every epoch.

Every report carries what a trial ends with, as far as it is known: accuracy, file bytes, paper bits, bits a weight, the
plan in one line; so logs, TensorBoard and the dashboard show it. The last report is of the packed network.

With a report travels the state before its epoch (the loop saves an epoch after it has reported it): a trial that was
paused, moved or lost trains one epoch again, to the same bits, and does not report it twice.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import ray
from ray import tune

from search_space.errors import BankwiseError
from search_space.plan import Plan
from search_space.price import price
from strategies.budgeted import BudgetedSpace
from strategies.ray.configs import config_plan, plan_text
from strategies.ray.shared import SharedTrial
from strategies.ray.transfer import Progress, take_over
from trainers.loop import EpochReport
from trainers.recipe import Recipe
from trainers.task import Task
from trainers.trial import TrialResult, run_trial

STATE, PROGRESS = "training.pt", "progress.json"


def make_trainable(
    task: Task, recipe: Recipe, space: BudgetedSpace, resources: Mapping[str, float] | None = None
) -> Callable[[dict], None]:
    """A function for `tune.Tuner` that trains the plan of a config (`config_plan`) on `task` by `recipe`.

    Ray must be running: task and space go to its object store, once. `resources` of a trial: {"cpu": 1, "gpu": 0.25}.
    """
    shared = ray.put(SharedTrial.of(task, recipe, space))
    return tune.with_resources(tune.with_parameters(train_plan, shared=shared), dict(resources or {"cpu": 1}))


def train_plan(config: dict, shared: SharedTrial) -> None:
    """One trial. It goes on from its checkpoint; from that of another plan, which population-based training has given
    it, as `take_over` says."""
    plan = config_plan(config, shared.space)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        task, progress = _resume(folder, shared, plan)
        reports = _Reports(folder, task, shared.recipe, progress)
        recipe = dataclasses.replace(shared.recipe, epochs=shared.recipe.epochs - progress.base)
        reports.end(run_trial(task, plan, recipe, checkpoint=folder / STATE, report=reports.epoch))


def _resume(folder: Path, shared: SharedTrial, plan: Plan) -> tuple[Task, Progress]:
    """The task to train on and how far the trial is; the state to go on from lies in `folder` then."""
    found = tune.get_checkpoint()
    if found is None:
        return shared.task, Progress(plan)
    with found.as_directory() as saved:
        before, state = Progress.read(Path(saved) / PROGRESS), Path(saved) / STATE
        if before.plan != plan:
            return take_over(shared.task, before, state, plan, shared.recipe)
        if state.exists():
            shutil.copy(state, folder)
    return shared.task, before


class _Reports:
    """Tells Ray of a trial's epochs."""

    def __init__(self, folder: Path, task: Task, recipe: Recipe, progress: Progress):
        cost = price(task.shape, progress.plan)
        self.folder, self.epochs, self.progress = folder, recipe.epochs, progress
        self.loss, self.fixed = (
            0.0,
            {
                "file_bytes": cost.file_bytes,
                "paper_bits": cost.paper_bits,
                "bits_per_weight": cost.file_bits_per_weight,
                "seed": recipe.seed,
                "last_epoch": recipe.epochs,
                "plan": plan_text(progress.plan),
            },
        )

    def epoch(self, epoch: EpochReport) -> None:
        """Report every epoch once, the last one when its network is packed."""
        self.loss, before = epoch.loss, self.progress
        if before.base + epoch.epoch <= before.reported:
            return
        accuracies = (*before.accuracies, epoch.accuracy)
        self.progress = dataclasses.replace(before, accuracies=accuracies, seconds=before.seconds + epoch.seconds)
        if self.progress.reported < self.epochs:
            values = {"accuracy": epoch.accuracy, "epochs": accuracies, "seconds": self.progress.seconds}
            with tempfile.TemporaryDirectory(dir=self.folder) as copies:
                self._report(values, self._checkpoint(Path(copies)))

    def end(self, result: TrialResult) -> None:
        before = self.progress.accuracies[: self.progress.base]
        self._report(result.metrics() | {"epochs": (*before, *result.epochs)})

    def _report(self, values: Mapping[str, object], checkpoint: tune.Checkpoint | None = None) -> None:
        result = {**self.fixed, "loss": self.loss, **values, "epoch": len(values["epochs"])}
        try:
            tune.report(result, checkpoint=checkpoint)
        except RuntimeError as error:
            if "cluster storage" not in str(error):  # where Ray misses the file that marks its folder
                raise
            raise BankwiseError(
                f"node {ray.util.get_node_ip_address()} does not reach the folder of the search: on a cluster --out "
                "must be a folder that all nodes share, under one path"
            ) from None

    def _checkpoint(self, copies: Path) -> tune.Checkpoint:
        """What to go on from, in a folder of its own: Ray copies the whole folder to its storage."""
        self.progress.write(copies / PROGRESS)
        if (self.folder / STATE).exists():
            shutil.copy(self.folder / STATE, copies)
        return tune.Checkpoint.from_directory(copies)
