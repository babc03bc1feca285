"""The trainable of Ray Tune: one trial of the trial store, reported every epoch.

Every report carries what a trial ends with, as far as it is known: accuracy, file bytes, paper bits, bits a weight, the
plan in one line; so logs, TensorBoard and the dashboard show it. The last report is of the packed network, or says why
there is none (`status`, `reason`).

The trial goes on from the store's checkpoint, after a pause or the death of its process. Without a store it has one of
its own for as long as it runs, and its checkpoint travels with Ray's: the state before the reported epoch (the loop
saves an epoch after it has reported it), so that one epoch is trained again, to the same bits.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.ray.cluster import one_line
from bankwise.strategies.engines.ray.shared import SharedTrial
from bankwise.strategies.engines.ray.transfer import take_over
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import TrialRecord, TrialStore
from bankwise.trainers.task import Task

CHECKPOINT = "checkpoint.pt"  # in a trial's folder of the store, and in a checkpoint of Ray
REFUSED = "refused"  # status of a trial that bad input or a full disk ended


def make_trainable(
    task: Task,
    recipe: Recipe,
    space: BudgetedSpace,
    resources: Mapping[str, float] | None = None,
    store: TrialStore | None = None,
) -> Callable[[dict[str, Any]], None]:
    """A function for `tune.Tuner` that trains the plan of a config (`PlanEncoding`) on `task` by `recipe`.

    Ray must be running: task and space go to its object store, once. `resources` of a trial: {"cpu": 1, "gpu": 0.25}.
    `store`, in a folder that all nodes share, has the trials outlive Ray; population-based training needs none.
    """
    shared = ray.put(SharedTrial.of(task, recipe, space, store))
    trainable: Any = tune.with_parameters(train_plan, shared=shared)
    asking: Callable[[dict[str, Any]], None] = tune.with_resources(trainable, dict(resources or {"cpu": 1}))
    return asking


def train_plan(config: dict[str, Any], shared: SharedTrial) -> None:
    """One trial. From a checkpoint of another plan, which population-based training has given it, it goes on as
    `take_over` says."""
    with tempfile.TemporaryDirectory() as temporary:
        _Trial(PlanEncoding(shared.space).plan(config), shared, shared.store or TrialStore(Path(temporary))).run()


class _Trial:
    """A trial of `plan` and its latest `report`, of whose epochs the first `base` were another plan's."""

    def __init__(self, plan: Plan, shared: SharedTrial, store: TrialStore):
        self.plan, self.shared, self.store, self.task, self.base = plan, shared, store, shared.task, 0
        cost = price(self.task.shape, plan)
        self.report: dict[str, Any] = {
            "file_bytes": cost.file_bytes,
            "paper_bits": cost.paper_bits,
            "bits_per_weight": cost.file_bits_per_weight,
            "seed": shared.recipe.seed,
            "last_epoch": shared.recipe.epochs,
            "plan": plan.text,
            **{"accuracy": 0.0, "epochs": [], "epoch": 0, "seconds": 0.0, "loss": 0.0, "epoch_seconds": 0.0},
        }

    @property
    def recipe(self) -> Recipe:
        """For the epochs after those of the other plan."""
        return dataclasses.replace(self.shared.recipe, epochs=self.shared.recipe.epochs - self.base)

    @property
    def state(self) -> Path:
        """What the store goes on from."""
        return self.store.place(self.plan, self.recipe) / CHECKPOINT

    def run(self) -> None:
        """Train, and report the end. One without a result, and without a store to keep why, raises RuntimeError."""
        try:
            if (checkpoint := tune.get_checkpoint()) is not None:
                self.resume(checkpoint)
            with one_line(self.store.folder):
                _check_reached(self.store.folder)
                record = self.store.run(self.task, self.plan, self.recipe, self._epoch)
        except BankwiseError as error:
            record = TrialRecord(self.plan, REFUSED, reason=str(error))
        if record.metrics is not None:
            epochs = [*self.report["epochs"][: self.base], *record.metrics["epochs"]]
            self.report |= {**record.metrics, "epochs": epochs, "epoch": len(epochs)}
        tune.report({**self.report, "status": record.status, "reason": record.reason})
        if record.metrics is None and self.shared.store is None:
            raise RuntimeError(record.reason)

    def resume(self, checkpoint: tune.Checkpoint) -> None:
        """From its own state, or as `take_over` says. Raises BankwiseError for a checkpoint of something else."""
        before = checkpoint.get_metadata()
        if not {"config", "base", "epochs", "saved"} <= before.keys():
            raise BankwiseError(f"{checkpoint.path!r} is not the checkpoint of a bankwise trial")
        plan, base = PlanEncoding(self.shared.space).plan(before.pop("config")), before.pop("base")
        saved = before.pop("saved")  # a perturbed trial's checkpoints go into the folders of those that it had before
        with checkpoint.as_directory() as folder:
            state = Path(folder) / (CHECKPOINT if saved else "nothing")
            if plan == self.plan:
                self.base, self.report = base, before
                if state.exists():
                    self.state.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(state, self.state)
            else:
                self.task, self.base = take_over(self.task, plan, base, state, self.shared.recipe)
                self._behind(before["epochs"][: self.base], before["seconds"] if self.base else 0.0)

    def _behind(self, epochs: list[float], seconds: float) -> None:
        self.report |= {"epochs": epochs, "epoch": len(epochs), "seconds": seconds}
        self.report |= {"accuracy": epochs[-1]} if epochs else {}

    def _epoch(self, epoch: EpochReport) -> None:
        """Report every epoch once, the last one when its network is packed."""
        if self.base + epoch.epoch <= self.report["epoch"]:
            return
        self.report |= {"loss": epoch.loss, "epoch_seconds": epoch.seconds}
        self._behind([*self.report["epochs"], epoch.accuracy], self.report["seconds"] + epoch.seconds)
        if self.report["epoch"] < self.shared.recipe.epochs:
            with tempfile.TemporaryDirectory() as folder:  # of its own: Ray copies it whole to its storage
                if saved := self.shared.store is None and self.state.exists():
                    shutil.copy(self.state, folder)
                checkpoint = tune.Checkpoint.from_directory(folder)
                checkpoint.set_metadata({**self.report, "config": self.plan.codes, "base": self.base, "saved": saved})
                tune.report({**self.report}, checkpoint=checkpoint)


def _check_reached(folder: Path) -> None:
    if not folder.is_dir():
        raise BankwiseError(
            f"node {ray.util.get_node_ip_address()} does not reach the folder of the search: on a cluster --out "
            "must be a folder that all nodes share, under one path"
        )
