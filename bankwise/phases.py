"""The trainings of a run, each resumable, and what is measured of them; searches and single plans are made of these."""

from __future__ import annotations

import copy
import dataclasses
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bankwise.run_folder import RunFolder
from search_space.files import write_bytes
from search_space.modelfile import read
from search_space.plan import Plan
from search_space.price import price
from trainers.evaluate import accuracy
from trainers.loop import EpochReport, train
from trainers.recipe import Recipe
from trainers.task import Task, make_task
from trainers.trial import TrialResult, run_trial


@dataclass(frozen=True)
class Progress:
    """How far a run is: `phase`, epochs done of `total` in it, a line on the latest, and the epochs `left` in the
    phases after it (as planned: a strategy may end sooner)."""

    phase: str
    done: int
    total: int
    text: str = ""
    left: int = 0


Watch = Callable[[Progress], None]


class Phases:
    """Trainings into `folder`. `recipe` is that of a full training; `seed` is added to the seed of each one.

    `work` plans the epochs of every phase, in their order.
    """

    def __init__(
        self, task: Task, folder: RunFolder, recipe: Recipe, seed: int, work: Mapping[str, int], watch: Watch | None
    ):
        self.task, self.folder, self.recipe, self.seed = task, folder, recipe, seed
        self.work, self._watch = dict(work), watch
        self.teachers: list[nn.Module] = []

    def watch(self, phase: str, done: int, text: str = "") -> None:
        if self._watch is not None:
            names = list(self.work)
            left = sum(self.work[name] for name in names[names.index(phase) + 1 :])
            self._watch(Progress(phase, min(done, self.work[phase]), self.work[phase], text, left))

    def seeded(self, seed: int, epochs: int | None = None) -> Recipe:
        return dataclasses.replace(self.recipe, seed=self.seed + seed, epochs=epochs or self.recipe.epochs)

    def checkpoint(self, label: str) -> Path:
        return self.folder.checkpoints / f"{label}.pt"

    def epochs(self, phase: str, unit: int, epochs: int) -> Callable[[EpochReport], None]:
        """The report of training number `unit` of a phase, all of `epochs` epochs."""

        def report(epoch: EpochReport) -> None:
            text = f"epoch {epoch.epoch}/{epochs} loss {epoch.loss:.3f} accuracy {epoch.accuracy:.4f}"
            self.watch(phase, unit * epochs + epoch.epoch, text)

        return report

    def uncompressed(self, seeds: int) -> list[dict]:
        """Train the float network over the seeds: the teachers of the full trainings, the first that of trials too."""
        results = []
        for seed in range(seeds):
            network = self.untrained(seed)
            recipe = dataclasses.replace(self.seeded(seed), distill=0.0)
            report = self.epochs("uncompressed", seed, recipe.epochs)
            train(network, self.task.data, recipe, checkpoint=self.checkpoint(f"uncompressed-{seed}"), report=report)
            right = accuracy(network, self.task.data.val_x, self.task.data.val_y)
            results.append({"accuracy": right, "network": network})
            self.teachers.append(network.eval().requires_grad_(False))
            self.watch("uncompressed", (seed + 1) * recipe.epochs, f"accuracy {right:.4f}")
        self.task = self.taught(0)
        return results

    def untrained(self, seed: int) -> nn.Module:
        """The float network as it begins, of each seed another."""
        if seed == 0:
            return copy.deepcopy(self.task.network)
        return make_task(self.task.shape.network, self.task.data, self.seeded(seed)).network

    def taught(self, number: int) -> Task:
        """The task with that teacher, over again where there are fewer, as it is where there is none."""
        if not self.teachers:
            return self.task
        return dataclasses.replace(self.task, teacher=self.teachers[number % len(self.teachers)])

    def final(self, label: str, plan: Plan, seeds: int) -> list[dict]:
        """Train the plan in full over fresh seeds, none of which chose it, each from a float network of its own."""
        return [self.full(f"final {label}", f"{label}-{i}", plan, 1 + i, i, teacher=i) for i in range(seeds)]

    def full(self, phase: str, label: str, plan: Plan, seed: int, unit: int, teacher: int = 0) -> dict:
        """Train, pack and measure one plan from that teacher; LABEL.json, LABEL.bankwise and LABEL.pt keep it."""
        result_path, model = self.folder.checkpoints / f"{label}.json", self.folder.checkpoints / f"{label}.bankwise"
        recipe = self.seeded(seed)
        if not (result_path.exists() and model.exists()):
            report = self.epochs(phase, unit, recipe.epochs)
            task = self.taught(teacher)
            result = self.train_in_full(task, plan, recipe, model, self.checkpoint(label), report).metrics()
            self.folder.write(result_path, result)
            self.folder.log({"phase": "final", "label": label, **result})
        result = self.folder.read(result_path)
        self.watch(phase, (unit + 1) * recipe.epochs, f"accuracy {result['accuracy']:.4f}")
        return result | {"model": str(model)}

    def train_in_full(
        self, task: Task, plan: Plan, recipe: Recipe, file: Path, checkpoint: Path, report
    ) -> TrialResult:
        """One full training in this process."""
        return run_trial(task, plan, recipe, file=file, checkpoint=checkpoint, report=report)

    def publish(self, plan: Plan, results: list[dict]) -> dict:
        """Make the seed best on the validation split the run's model; what the run says of it, test set included."""
        best = max(results, key=lambda result: result["accuracy"])
        write_bytes(self.folder.model, Path(best["model"]).read_bytes())
        cost = price(self.task.shape, plan)
        return {
            "file_bytes": self.folder.model.stat().st_size,
            "planned_bytes": cost.file_bytes,
            "paper_bits": cost.paper_bits,
            "paper_bits_per_weight": cost.paper_bits_per_weight,
            **self.measure_files(results),
            "plan": str(self.folder.plan),
            "model": str(self.folder.model),
        }

    def measure_files(self, results: list[dict]) -> dict:
        """Read every seed's file back and measure it on the test set."""
        test_x, test_y = self.task.data.test()
        files = [accuracy(read(result["model"], allow_code=True).network(), test_x, test_y) for result in results]
        return _statistics([result["accuracy"] for result in results], files)

    def measure_networks(self, results: list[dict]) -> dict:
        test_x, test_y = self.task.data.test()
        floats = [accuracy(result["network"], test_x, test_y) for result in results]
        return _statistics([result["accuracy"] for result in results], floats) | {"bytes": self.task.shape.float_bytes}


def _statistics(validation: list[float], test: list[float]) -> dict:
    """Mean and spread (sample standard deviation) over the seeds."""
    return {
        "accuracy": statistics.fmean(validation),
        "accuracy_spread": statistics.stdev(validation) if len(validation) > 1 else 0.0,
        "accuracies": validation,
        "test_accuracy": statistics.fmean(test),
        "test_accuracy_spread": statistics.stdev(test) if len(test) > 1 else 0.0,
        "test_accuracies": test,
    }
