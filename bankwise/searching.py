"""The main job: from a network, data and a budget in bytes to the best plan and a file of exactly the planned size."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn

from bankwise.architectures import check_fits, rehearse_all
from bankwise.inputs import Inputs, take
from bankwise.logs import Logs, check_logs
from bankwise.phases import Phases
from bankwise.progress import Meter, OnProgress, Progress, told_finished
from bankwise.result import SearchResult
from bankwise.run_folder import RunFolder
from bankwise.search_settings import SearchSettings
from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.budget import Budget
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.ranges import in_range
from bankwise.search_space.space import SearchSpace
from bankwise.side_by_side import at_once
from bankwise.strategies.engines import make_engine
from bankwise.surroundings import Surroundings
from bankwise.trainers.recipe import aimed
from bankwise.trainers.rehearsal import rehearse


@typed_arguments("out", "settings", "progress", "on_progress", "options", "log", "side_by_side")
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
    side_by_side: int | None = None,
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
    it is, on stderr. `log` names further logs (`bankwise.logs`): tensorboard, wandb, mlflow, optuna. Up to
    `side_by_side` full trainings are made at a time (None: as many as the engine's workers), each in a process of its
    own (`bankwise.side_by_side`); that changes no result.

    The file of a module in memory names it "in-memory": `load(path, network=module)` gives it back.

    Raises InfeasibleBudget before any training, BankwiseError for other bad input.
    """
    settings = settings or SearchSettings()
    recipe = aimed(settings.recipe, loss, metric, class_weights)
    settings = dataclasses.replace(settings, recipe=recipe)
    inputs = take(network, data, settings.space.keep)
    out = _folder(inputs, budget) if out is None else out
    if not progress:
        return search_in(inputs, budget, out, settings, accounting, on_progress, options, log, side_by_side)
    from bankwise.cli.progress import Display

    with Display() as display:

        def told(event: Progress) -> None:
            display(event)
            if on_progress is not None:
                on_progress(event)

        return search_in(inputs, budget, out, settings, accounting, told, options, log, side_by_side)


def _folder(inputs: Inputs, budget: str | int) -> Path:
    parts = (inputs.source.network, inputs.data.name, str(budget))
    return Path("runs") / "-".join(re.sub(r"[^\w.]+", "-", part).strip("-") for part in parts)


def check(inputs: Inputs, budget: str | int, settings: SearchSettings, accounting: str = "file") -> Budget:
    """The budget. Raises InfeasibleBudget, or BankwiseError, where none can be searched in it."""
    offered = settings.offered(inputs.source.network)
    task = inputs.task(settings.recipe)
    limit = Budget.parse(budget, task.shape, accounting)
    if offered:
        check_fits(inputs, settings.recipe, offered, lambda one: settings.budgeted(one, limit))
    else:
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
    side_by_side: int | None = None,
    first: Path | None = None,
) -> SearchResult:
    """`search` with network and data that were read (`bankwise.inputs.take`). `first` is the folder of a finished run,
    of other bytes alone, whose uncompressed networks it takes."""
    check_logs(log)
    in_range(1, side_by_side=side_by_side)
    keep = inputs.source.keep
    settings = dataclasses.replace(settings, space=dataclasses.replace(settings.space, keep=keep))
    limit = check(inputs, budget, settings, accounting)  # an error before anything is written
    task = inputs.task(settings.recipe)
    engine = make_engine(settings.engine, **(options or {}))
    if offered := settings.offered(inputs.source.network):
        recipe = rehearse_all(
            inputs, settings.recipe, settings.space, lambda one: settings.budgeted(one, limit), offered
        )
    else:
        recipe = rehearse(task, SearchSpace(task.shape, settings.space).smallest)
    settings = dataclasses.replace(settings, recipe=recipe)
    task = dataclasses.replace(task, recipe=settings.recipe)
    wanted = getattr(engine.options, "workers", 1) if side_by_side is None else side_by_side
    together = 1 if engine.trains_together else at_once(wanted, task, recipe)
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
                if first is not None:
                    folder.take_uncompressed(RunFolder(first))
                told = Meter({}, on_progress).note
                with Logs(log, folder.path, folder.read(folder.settings), told) as logs:
                    Phases(inputs, task, limit, folder, settings, on_progress, engine, logs, together).run()
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


__all__ = ["SearchSettings", "search"]
