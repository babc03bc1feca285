"""The full trainings of a run, each resumable; searches and single plans are made of these."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

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
from bankwise.side_by_side import FullTraining, SideBySide
from bankwise.trainers.evaluate import measure_on
from bankwise.trainers.loop import Diverged, train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from bankwise.trainers.trial import TrialResult, run_trial

TrainInFull = Callable[..., TrialResult]  # (task, plan, recipe, file=, checkpoint=, report=)


class Trainings:
    """Full trainings into `folder`. `recipe` is that of each; `seed` is added to the seed of each one.

    `train_in_full` trains one plan: in this process, or as an engine does. With `side_by_side` several are made at a
    time, ahead of those that ask for them.
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
        side_by_side: SideBySide | None = None,
    ):
        self.inputs, self.task, self.folder, self.recipe, self.seed = inputs, task, folder, recipe, seed
        self.meter, self.train_in_full = meter, train_in_full
        self.logs = logs or Logs((), folder.path, {})
        self.side_by_side = side_by_side
        self.teachers: list[nn.Module] = []
        self._told: set[str] = set()  # labels of those that were made ahead: how they went was told then

    def seeded(self, seed: int, epochs: int | None = None) -> Recipe:
        return dataclasses.replace(self.recipe, seed=self.seed + seed, epochs=epochs or self.recipe.epochs)

    def uncompressed(self, seeds: int) -> list[dict[str, Any]]:
        """Train the float network over the seeds: the teachers of the full trainings, the first that of trials too.

        A seed that diverges gives {DIVERGED: why}. Raises Diverged where all do.
        """
        results: list[dict[str, Any]] = []
        self.ahead([self._of_uncompressed(seed) for seed in range(seeds)])
        for seed in range(seeds):
            one = self._of_uncompressed(seed)
            network, recipe = cast(nn.Module, one.network), one.recipe
            report = self.meter.epochs("uncompressed", seed, recipe.epochs)
            try:
                with self.remembered(one.label):
                    train(network, self.task.data, recipe, checkpoint=one.checkpoint, report=report)
            except Diverged as error:
                results.append({DIVERGED: str(error)})
                self._tell(one, f"seed {seed} failed: {error}")
                continue
            right = measure_on(network, self.task.data, self.recipe.metric)
            results.append({"accuracy": right, "network": network})
            self.teachers.append(network.eval().requires_grad_(False))
            self._tell(one, self.meter.told(right))
        check_some("the uncompressed network", results)
        self.task = self.taught(0)
        return results

    def _of_uncompressed(self, seed: int) -> FullTraining:
        label, recipe = f"uncompressed-{seed}", dataclasses.replace(self.seeded(seed), distill=0.0)
        return FullTraining(
            "uncompressed", seed, label, recipe, self.folder.checkpoints / f"{label}.pt", self.untrained(seed)
        )

    @contextmanager
    def remembered(self, label: str) -> Iterator[None]:
        """A training that diverges within is recorded as LABEL.diverged, and is not tried again: it would diverge
        again, and a run that resumes would never end."""
        record = self._diverged(label)
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
        for one in self.finals(label, plan, seeds):
            try:
                results.append(self.full(one))
            except Diverged as error:
                results.append({DIVERGED: str(error)})
                self._tell(one, f"seed {one.unit} failed: {error}")
        return results

    def finals(self, label: str, plan: Plan, seeds: int) -> list[FullTraining]:
        """The final trainings of a plan."""
        return [self.of_plan(f"final {label}", f"{label}-{i}", plan, 1 + i, i, teacher=i) for i in range(seeds)]

    def of_plan(self, phase: str, label: str, plan: Plan, seed: int, unit: int, teacher: int = 0) -> FullTraining:
        """The training of a plan from that teacher; LABEL.json, LABEL.bankwise and LABEL.pt will keep it."""
        place = self.folder.checkpoints
        checkpoint, file = place / f"{label}.pt", place / f"{label}.bankwise"
        return FullTraining(phase, unit, label, self.seeded(seed), checkpoint, self.taught(teacher).teacher, plan, file)

    def full(self, one: FullTraining) -> dict[str, Any]:
        """Train, pack and measure one plan.

        Raises Diverged where it does, at once where it did before."""
        plan, model = cast(Plan, one.plan), cast(Path, one.file)
        if not self._through(one):
            report = self.meter.epochs(one.phase, one.unit, one.recipe.epochs)
            task = self.task if one.network is None else dataclasses.replace(self.task, teacher=one.network)
            with self.remembered(one.label):
                made = self.train_in_full(task, plan, one.recipe, file=model, checkpoint=one.checkpoint, report=report)
            self.folder.write(self._result(one), made.metrics())
        self._check(model, plan)
        result: dict[str, Any] = self.folder.measured(self._result(one))
        self.logs.result(one.phase, one.unit, result)
        self.folder.log(f"final {one.label}", {"phase": "final", "label": one.label, **result})
        self._tell(one, self.meter.told(result["accuracy"]))
        return result | {"model": str(model)}

    def ahead(self, trainings: Sequence[FullTraining]) -> None:
        """Make what is not made yet of the trainings that will be asked for, several at a time where that may be."""
        if self.side_by_side is not None:
            waiting = [one for one in trainings if not self._through(one) and not self._diverged(one.label).exists()]
            if self.side_by_side.run(waiting, self._keep):
                self._told.update(one.label for one in trainings if self._through(one))

    def _keep(self, one: FullTraining, made: dict[str, Any] | Diverged | None) -> None:
        """What came of a training that was made ahead."""
        self._told.add(one.label)
        if isinstance(made, Diverged):
            write_text(self._diverged(one.label), f"{made}\n")
        elif made is not None:
            self.folder.write(self._result(one), made)

    def _tell(self, one: FullTraining, text: str) -> None:
        if one.label not in self._told:
            self.meter(one.phase, (one.unit + 1) * one.recipe.epochs, text)

    def _through(self, one: FullTraining) -> bool:
        """Whether a plan's training is; a float network's says so itself, at once."""
        return one.file is not None and one.file.exists() and self._result(one).exists()

    def _result(self, one: FullTraining) -> Path:
        return self.folder.checkpoints / f"{one.label}.json"

    def _diverged(self, label: str) -> Path:
        return self.folder.checkpoints / f"{label}.diverged"

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
