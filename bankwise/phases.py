"""The phases of a search, each resumable: the widths and depths of the stages where they are searched, the
uncompressed network (also the teacher), the strategy's own preparation, the search and then uniform plans by the same
short trials, the finalists of both, the final trainings over several seeds, the test set (read once, at the end)."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankwise.architectures import ArchitectureTrials, best_network
from bankwise.choosing import Choosing
from bankwise.deadline import Deadline
from bankwise.expected import Expected, expected
from bankwise.inputs import Inputs
from bankwise.logs import Logs
from bankwise.made import made
from bankwise.measuring import (
    DIVERGED,
    Measured,
    check_some,
    confusion,
    measure_files,
    measure_networks,
    metric_of,
    trained,
)
from bankwise.progress import ARCHITECTURES, Meter, OnProgress
from bankwise.result import SearchResult
from bankwise.run_folder import RunFolder
from bankwise.search_settings import SearchSettings
from bankwise.search_space.budget import Budget
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.shown import metric_name
from bankwise.side_by_side import SideBySide
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.engines import Engine
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from bankwise.trainers.trial import TrialResult, run_trial
from bankwise.trainings import TrainInFull, Trainings
from bankwise.unspent import unspent


@dataclass(frozen=True)
class Phases:
    """A search under way, phase after phase."""

    inputs: Inputs
    task: Task
    budget: Budget
    folder: RunFolder
    settings: SearchSettings
    on_progress: OnProgress | None
    engine: Engine
    logs: Logs
    together: int  # full trainings at a time

    def run(self) -> None:
        begin, settings, folder = time.time(), self.settings, self.folder
        self.engine.check()
        work = settings.work(self.inputs.source.network)
        workers = getattr(self.engine.options, "workers", 1)
        deadline = Deadline(
            folder.read(folder.settings)["deadline"], work, workers, self.together, settings.recipe.epochs
        )

        def on_epoch(phase: str, number: int, epoch: EpochReport) -> None:
            deadline.told(phase, epoch.seconds)
            self.logs.epoch(phase, number, epoch)

        meter = Meter(work, self.on_progress, metric_name(metric_of(self.task)), on_epoch)
        meter.data(self.inputs.data, settings.recipe)
        chosen_first = settings.searches_architectures
        inputs, architectures = self.choose_architecture(meter) if chosen_first else (self.inputs, None)
        task = inputs.task(settings.recipe) if chosen_first else self.task
        with SideBySide(task, self.together, meter) as side_by_side:
            if settings.time is not None and not side_by_side.possible:
                deadline.trainings = 1
            trainings = Trainings(
                inputs,
                task,
                folder,
                settings.recipe,
                settings.seed,
                meter,
                self.train_in_full(),
                self.logs,
                side_by_side,
            )
            uncompressed = trainings.uncompressed(settings.seeds)
            space = self.budgeted(task)
            hoped = self.expected(space, uncompressed, meter)
            chosen = Choosing(settings, trainings, space, self.engine, deadline).run()
            images = self.inputs.data.images
            dataclasses.replace(chosen.plan, images=images).save(folder.plan)
            finals = [("searched", chosen.plan)]
            if chosen.uniform is None or chosen.uniform == chosen.plan:
                meter.without("final uniform")
            else:
                finals.append(("uniform", chosen.uniform))
            trainings.ahead([one for label, plan in finals for one in trainings.finals(label, plan, settings.seeds)])
            searched = trainings.final("searched", chosen.plan, settings.seeds)
            check_some("the plan", searched)
            cost = price(task.shape, chosen.plan)
            uniform, uniform_cost = None, cost
            if chosen.uniform is not None:
                dataclasses.replace(chosen.uniform, images=images).save(folder.uniform_plan)
                same = chosen.uniform == chosen.plan
                uniform = searched if same else trainings.final("uniform", chosen.uniform, settings.seeds)
                uniform_cost = price(task.shape, chosen.uniform)
        if uniform is not None and not trained(uniform):
            meter("test", 0, f"no baseline: all final trainings of the uniform plan failed: {uniform[0][DIVERGED]}")
            uniform = None
        meter("test", 0, "reading the files back")
        trainings.publish(searched)
        result = SearchResult(
            folder=folder.path,
            network=task.shape.network,
            data=task.data.name,
            plan=chosen.plan,
            planned_bytes=cost.file_bytes,
            paper_bits_per_weight=cost.paper_bits_per_weight,
            searched=_of_file(measure_files(task, cost, searched), folder),
            uniform=None if uniform is None else measure_files(task, uniform_cost, uniform),
            uncompressed=measure_networks(task, uncompressed),
            trials=(),
            seconds=time.time() - begin,
            settings=folder.read(folder.settings),
            budget=folder.read(folder.settings)["budget"],
            budget_bytes=self.budget.bytes,
            accounting=self.budget.accounting,
            strategy=settings.strategy,
            found_by="uniform" if chosen.plan == chosen.uniform else settings.strategy,
            architectures=architectures,
            ended=chosen.ended,
            expected=hoped,
            unspent=unspent(space, space.accounting.plan_bytes(cost)),
            made=made(),
            metric=metric_of(task),
            confusion=confusion(task, folder.model),
        )
        self.logs.end(result.to_dict())  # first: a finished run does not open its logs again
        folder.write(folder.summary, result.to_dict())

    def budgeted(self, task: Task) -> BudgetedSpace:
        return self.settings.budgeted(task, self.budget)

    def expected(
        self, space: BudgetedSpace, uncompressed: Sequence[Mapping[str, Any]], meter: Meter
    ) -> Expected | None:
        """What the search may expect before its trials, told; None where it is for uniform plans."""
        if self.settings.strategy == "uniform":
            return None
        level = statistics.fmean(one["accuracy"] for one in trained(uncompressed))
        found = expected(space, level, self.settings.seeds, metric_of(self.task))
        if found is not None:
            meter.note(f"expected of the closed form's plan over the best uniform one: {found.line}")
        return found

    def choose_architecture(self, meter: Meter) -> tuple[Inputs, dict[str, float]]:
        """The network of the best widths and depths; the validation accuracy of each that was tried."""
        done = 0

        def report(network: str, epoch: EpochReport) -> None:
            nonlocal done
            done += 1
            meter(ARCHITECTURES, done, f"{network} epoch {epoch.epoch}/{epoch.epochs} {meter.told(epoch.accuracy)}")

        settings = self.settings
        recipe = dataclasses.replace(
            settings.recipe, seed=settings.seed, epochs=settings.architecture_epochs or settings.trial_epochs
        )
        trials = ArchitectureTrials(self.inputs, recipe, self.budgeted, self.folder, report)
        network, accuracies = best_network(trials, settings.offered(self.inputs.source.network))
        return self.inputs.of(network), accuracies

    def train_in_full(self) -> TrainInFull:
        """One full training: by several processes, where the engine can and the options say so."""
        return functools.partial(_together, self.engine) if self.engine.trains_together else run_trial


def _together(
    engine: Engine, task: Task, plan: Plan, recipe: Recipe, *, file: Path, checkpoint: Path, report: object
) -> TrialResult:
    """As an engine trains: it reports no epochs."""
    return engine.train_in_full(task, plan, recipe, file, checkpoint)


def _of_file(measured: Measured, folder: RunFolder) -> Measured:
    """The size as it is on disk."""
    return dataclasses.replace(measured, bytes=folder.model.stat().st_size)
