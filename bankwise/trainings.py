"""The full trainings of a run, each resumable; searches and single plans are made of these."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from bankwise.inputs import Inputs
from bankwise.logs import Logs
from bankwise.measuring import DIVERGED, check_some, trained
from bankwise.progress import Meter
from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.files import write_bytes, write_text
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.file.container import read
from bankwise.trainers.evaluate import measure_on
from bankwise.trainers.loop import Diverged, train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from bankwise.trainers.trial import TrialResult, run_trial

TrainInFull = Callable[..., TrialResult]  # (task, plan, recipe, file=, checkpoint=, report=)


class Trainings:
    """Full trainings into `folder`. `recipe` is that of each; `seed` is added to the seed of each one.

    `train_in_full` trains one plan: in this process, or as an engine does.
    """

    def __init__(
        self,
        inputs: Inputs,
        task: Task,
        folder: RunFolder,
        recipe: Recipe,
        seed: int,
        meter: Meter,
        train_in_full: TrainInFull = run_trial,
        logs: Logs | None = None,
    ):
        self.inputs, self.task, self.folder, self.recipe, self.seed = inputs, task, folder, recipe, seed
        self.meter, self.train_in_full = meter, train_in_full
        self.logs = logs or Logs((), folder.path, {})
        self.teachers: list[nn.Module] = []

    def seeded(self, seed: int, epochs: int | None = None) -> Recipe:
        return dataclasses.replace(self.recipe, seed=self.seed + seed, epochs=epochs or self.recipe.epochs)

    def uncompressed(self, seeds: int) -> list[dict[str, Any]]:
        """Train the float network over the seeds: the teachers of the full trainings, the first that of trials too.

        A seed that diverges gives {DIVERGED: why}. Raises Diverged where all do.
        """
        results: list[dict[str, Any]] = []
        for seed in range(seeds):
            network = self.untrained(seed)
            recipe = dataclasses.replace(self.seeded(seed), distill=0.0)
            report = self.meter.epochs("uncompressed", seed, recipe.epochs)
            checkpoint = self.folder.checkpoints / f"uncompressed-{seed}.pt"
            try:
                with self.remembered(f"uncompressed-{seed}"):
                    train(network, self.task.data, recipe, checkpoint=checkpoint, report=report)
            except Diverged as error:
                results.append({DIVERGED: str(error)})
                self.meter("uncompressed", (seed + 1) * recipe.epochs, f"seed {seed} failed: {error}")
                continue
            right = measure_on(network, self.task.data, self.recipe.metric)
            results.append({"accuracy": right, "network": network})
            self.teachers.append(network.eval().requires_grad_(False))
            self.meter("uncompressed", (seed + 1) * recipe.epochs, self.meter.told(right))
        check_some("the uncompressed network", results)
        self.task = self.taught(0)
        return results

    @contextmanager
    def remembered(self, label: str) -> Iterator[None]:
        """A training that diverges within is recorded as LABEL.diverged, and is not tried again: it would diverge
        again, and a run that resumes would never end."""
        record = self.folder.checkpoints / f"{label}.diverged"
        if record.exists():
            raise Diverged(record.read_text(encoding="utf-8").strip())
        try:
            yield
        except Diverged as error:
            write_text(record, f"{error}\n")
            raise

    def untrained(self, seed: int) -> nn.Module:
        """The float network as it begins: of each seed another, but for a module in memory, which keeps its weights."""
        if seed == 0:
            return copy.deepcopy(self.task.network)
        return self.inputs.task(self.seeded(seed)).network

    def taught(self, number: int) -> Task:
        """The task with that teacher, over again where there are fewer, as it is where there is none."""
        if not self.teachers:
            return self.task
        return dataclasses.replace(self.task, teacher=self.teachers[number % len(self.teachers)])

    def final(self, label: str, plan: Plan, seeds: int) -> list[dict[str, Any]]:
        """Train the plan in full over fresh seeds, none of which chose it, each from a float network of its own. A seed
        that diverges gives {DIVERGED: why}."""
        results: list[dict[str, Any]] = []
        work = f"final {label}"
        for i in range(seeds):
            try:
                results.append(self.full(work, f"{label}-{i}", plan, 1 + i, i, teacher=i))
            except Diverged as error:
                results.append({DIVERGED: str(error)})
                self.meter(work, (i + 1) * self.recipe.epochs, f"seed {i} failed: {error}")
        return results

    def full(self, phase: str, label: str, plan: Plan, seed: int, unit: int, teacher: int = 0) -> dict[str, Any]:
        """Train, pack and measure one plan from that teacher; LABEL.json, LABEL.bankwise and LABEL.pt keep it.

        Raises Diverged where it does, at once where it did before."""
        result_path, model = self.folder.checkpoints / f"{label}.json", self.folder.checkpoints / f"{label}.bankwise"
        recipe = self.seeded(seed)
        if not (result_path.exists() and model.exists()):
            report = self.meter.epochs(phase, unit, recipe.epochs)
            checkpoint = self.folder.checkpoints / f"{label}.pt"
            with self.remembered(label):
                made = self.train_in_full(
                    self.taught(teacher), plan, recipe, file=model, checkpoint=checkpoint, report=report
                )
            self.folder.write(result_path, made.metrics())
        self._check(model, plan)
        result: dict[str, Any] = self.folder.measured(result_path)
        self.logs.result(phase, unit, result)
        self.folder.log(f"final {label}", {"phase": "final", "label": label, **result})
        self.meter(phase, (unit + 1) * recipe.epochs, self.meter.told(result["accuracy"]))
        return result | {"model": str(model)}

    def _check(self, model: Path, plan: Plan) -> None:
        """Raises BankwiseError where the file, which an earlier process may have left, is not of this plan."""
        found = read(model, allow_code=True, network=self.task.module).plan
        if (found.network, found.codes, found.vector_bits) != (plan.network, plan.codes, plan.vector_bits):
            raise BankwiseError(
                f"{str(model)!r} holds another plan ({short(found.text)}) than the one to be trained "
                f"({short(plan.text)}); delete it to train that"
            )

    def publish(self, results: list[dict[str, Any]]) -> None:
        """Make the seed best on the validation split the run's model."""
        best = max(trained(results), key=lambda result: result["accuracy"])
        write_bytes(self.folder.model, Path(best["model"]).read_bytes())
