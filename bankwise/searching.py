"""The main job: from a network, data and a budget in bytes to the best plan and a file of exactly the planned size.

Phases, each resumable: the widths of the stages where they are searched, the uncompressed network (also the teacher),
the strategy's own preparation, the search and then uniform plans by the same short trials, the finalists of both, the
final trainings over several seeds, the test set (read once, at the end).
"""

from __future__ import annotations

import dataclasses
import functools
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bankwise.choosing import Choosing
from bankwise.deadline import Deadline
from bankwise.expected import Expected, expected
from bankwise.inputs import Inputs, take
from bankwise.logs import Logs, check_logs
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
from bankwise.progress import Meter, OnProgress, Progress, told_finished
from bankwise.result import SearchResult
from bankwise.run_folder import RunFolder
from bankwise.search_settings import SearchSettings
from bankwise.search_space.budget import Budget
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.shown import metric_name
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.engines import Engine, make_engine
from bankwise.surroundings import Surroundings
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe, aimed
from bankwise.trainers.rehearsal import rehearse
from bankwise.trainers.task import Task
from bankwise.trainers.trial import TrialResult, run_trial
from bankwise.trainings import TrainInFull, Trainings
from bankwise.unspent import unspent
from bankwise.widths import WidthTrials, best_network, check_network, narrowest, rehearse_widths


def search(
    network: str | nn.Module | Callable[..., nn.Module] | None,
    data: object,
    budget: str | int,
    out: str | Path | None = None,
    settings: SearchSettings | None = None,
    *,
    accounting: str = "file",
    progress: bool = False,
    on_progress: OnProgress | None = None,
    options: Mapping[str, object] | None = None,
    loss: str | Callable[..., object] | None = None,
    metric: str | Callable[..., object] | None = None,
    class_weights: str | Sequence[float] | None = None,
    log: Sequence[str] = (),
) -> SearchResult:
    """Search, train and export into the folder `out`; also writes OUT/summary.json. Called again, a killed search
    resumes and a finished one returns its result; with more trials either goes on from its own.

    `network` is a reference (`bankwise.search_space.networks`), an nn.Module, which is trained from the weights that it
    has, a function that makes one, or None where `data` is a TaskSource, whose network it then is. `data` is a data
    set's name (`bankwise.trainers.data_sets`), a TaskSource, ImageData, a torch Dataset or a pair of them (training,
    test), or arrays (x, y) or (x_train, y_train, x_test, y_test): pixels uint8 (N, H, W), (N, H, W, C) or (N, C, H, W),
    labels (N,), or several labels or values an image (`bankwise.trainers.data_sets.in_memory`). `budget` as in
    `Budget.parse`; `options` are those of the engine (`bankwise.strategies.engines`), such as {"workers": 2}. `loss`,
    `metric` (the higher the better) and `class_weights` replace those of the recipe (`bankwise.Recipe`), and may be
    functions. Without `out` the folder is runs/NETWORK-DATA-BUDGET. Nothing is printed, unless `progress` shows how far
    it is, on stderr. `log` names further logs (`bankwise.logs`): tensorboard, wandb, mlflow, optuna.

    The file of a module in memory names it "in-memory": `load(path, network=module)` gives it back.

    Raises InfeasibleBudget before any training, BankwiseError for other bad input.
    """
    settings = settings or SearchSettings()
    recipe = aimed(settings.recipe, loss, metric, class_weights)
    settings = dataclasses.replace(settings, recipe=recipe)
    inputs = take(network, data, settings.space.keep)
    out = _folder(inputs, budget) if out is None else out
    if not progress:
        return search_in(inputs, budget, out, settings, accounting, on_progress, options, log)
    from bankwise.cli.progress import Display

    with Display() as display:

        def told(event: Progress) -> None:
            display(event)
            if on_progress is not None:
                on_progress(event)

        return search_in(inputs, budget, out, settings, accounting, told, options, log)


def _folder(inputs: Inputs, budget: str | int) -> Path:
    parts = (inputs.source.network, inputs.data.name, str(budget))
    return Path("runs") / "-".join(re.sub(r"[^\w.]+", "-", part).strip("-") for part in parts)


def check(inputs: Inputs, budget: str | int, settings: SearchSettings, accounting: str = "file") -> Budget:
    """The budget. Raises InfeasibleBudget, or BankwiseError, where none can be searched in it."""
    if settings.widths:
        check_network(inputs.source.network)
    task = inputs.task(settings.recipe)
    limit = Budget.parse(budget, task.shape, accounting)
    if settings.widths:
        task = inputs.of(narrowest(inputs.source.network, settings.widths)).task(settings.recipe)
    settings.budgeted(task, limit)
    return limit


def search_in(
    inputs: Inputs,
    budget: str | int,
    out: str | Path,
    settings: SearchSettings,
    accounting: str = "file",
    on_progress: OnProgress | None = None,
    options: Mapping[str, object] | None = None,
    log: Sequence[str] = (),
) -> SearchResult:
    """`search` with network and data that were read (`bankwise.inputs.take`)."""
    check_logs(log)
    keep = inputs.source.keep
    settings = dataclasses.replace(settings, space=dataclasses.replace(settings.space, keep=keep))
    limit = check(inputs, budget, settings, accounting)  # an error before anything is written
    task = inputs.task(settings.recipe)
    engine = make_engine(settings.engine, **(options or {}))
    recipe = rehearse(task, SearchSpace(task.shape, settings.space).smallest)
    if settings.widths:
        recipe = rehearse_widths(
            inputs, recipe, settings.space, lambda narrow: settings.budgeted(narrow, limit), settings.widths
        )
    settings = dataclasses.replace(settings, recipe=recipe)
    task = dataclasses.replace(task, recipe=settings.recipe)
    folder = RunFolder(out)
    record = {
        "network": inputs.source.network,
        "data": inputs.data.name,
        "training_images": len(inputs.data.train_y),
        "budget": str(budget),
        "accounting": accounting,
        **settings.to_dict(),
        "source": inputs.source.to_dict(),
        "identity": task.identity(),
        "made_in": Surroundings.now(inputs.source, options or {}).to_dict(),
        "deadline": _deadline(folder, settings.time),
    }
    with code_in_files(False, settings.named_code(inputs.source)):  # the folder may be of somebody else
        if folder.finished():
            folder.check(record)
        finished = folder.finished() and not folder.grows(record)
        if not finished:
            with folder.claimed(record):
                told = Meter({}, on_progress).note
                with Logs(log, folder.path, folder.read(folder.settings), told) as logs:
                    _Search(inputs, task, limit, folder, settings, on_progress, engine, logs).run()
        result = SearchResult.read(out, inputs.module, allow_code=True)
        if finished:
            told_finished(folder.path, on_progress, "; more trials (--trials) would go on from it")
        return result


def _deadline(folder: RunFolder, limit: float | None) -> float | None:
    """When all is to be done, in seconds since 1970: as an unfinished run of the same limit recorded it when it
    began."""
    if limit is None:
        return None
    there = folder.read(folder.settings) if folder.settings.exists() else {}
    recorded = there.get("deadline")
    if there.get("time") == limit and isinstance(recorded, float) and not folder.finished():
        return recorded
    return time.time() + limit


@dataclass(frozen=True)
class _Search:
    """A search under way, phase after phase."""

    inputs: Inputs
    task: Task
    budget: Budget
    folder: RunFolder
    settings: SearchSettings
    on_progress: OnProgress | None
    engine: Engine
    logs: Logs

    def run(self) -> None:
        begin, settings, folder = time.time(), self.settings, self.folder
        self.engine.check()
        work = settings.work(self.inputs.source.network)
        together = getattr(self.engine.options, "workers", 1)
        deadline = Deadline(folder.read(folder.settings)["deadline"], work, together)

        def on_epoch(phase: str, number: int, epoch: EpochReport) -> None:
            deadline.told(phase, epoch.seconds)
            self.logs.epoch(phase, number, epoch)

        meter = Meter(work, self.on_progress, metric_name(metric_of(self.task)), on_epoch)
        meter.data(self.inputs.data, settings.recipe)
        inputs, widths = self.choose_widths(meter) if settings.widths else (self.inputs, None)
        task = inputs.task(settings.recipe) if settings.widths else self.task
        trainings = Trainings(
            inputs, task, folder, settings.recipe, settings.seed, meter, self.train_in_full(), self.logs
        )
        uncompressed = trainings.uncompressed(settings.seeds)
        space = self.budgeted(task)
        hoped = self.expected(space, uncompressed, meter)
        chosen = Choosing(settings, trainings, space, self.engine, deadline).run()
        images = self.inputs.data.images
        dataclasses.replace(chosen.plan, images=images).save(folder.plan)
        if chosen.uniform in (None, chosen.plan):
            meter.without("final uniform")
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
            widths=widths,
            ended=chosen.ended,
            expected=hoped,
            unspent=unspent(space, space.accounting.plan_bytes(cost)),
            made=made(),
            metric=metric_of(task),
            confusion=confusion(task, folder.model),
        )
        folder.write(folder.summary, result.to_dict())
        self.logs.end(result.to_dict())

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

    def choose_widths(self, meter: Meter) -> tuple[Inputs, dict[str, float]]:
        """The network of the best widths; the validation accuracy of each that was tried."""
        done = 0

        def report(network: str, epoch: EpochReport) -> None:
            nonlocal done
            done += 1
            meter("widths", done, f"{network} epoch {epoch.epoch}/{epoch.epochs} {meter.told(epoch.accuracy)}")

        settings = self.settings
        recipe = dataclasses.replace(
            settings.recipe, seed=settings.seed, epochs=settings.width_epochs or settings.trial_epochs
        )
        trials = WidthTrials(self.inputs, recipe, self.budgeted, self.folder, report)
        network, accuracies = best_network(trials, settings.widths)
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


__all__ = ["SearchSettings", "search"]
