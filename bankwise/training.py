"""Train one plan, alone: the uncompressed teacher, the plan over several seeds, the test set."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from bankwise.inputs import take
from bankwise.made import made
from bankwise.measuring import Measured, check_some, confusion, measure_files, measure_networks, metric_of
from bankwise.progress import DATA, Meter, OnProgress, told_finished
from bankwise.result import SearchResult
from bankwise.run_folder import RunFolder
from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.ranges import SEED, in_range
from bankwise.shown import metric_name
from bankwise.side_by_side import SideBySide, at_once
from bankwise.trainers.recipe import Recipe, aimed
from bankwise.trainers.rehearsal import rehearse
from bankwise.trainings import Trainings


@typed_arguments("plan", "out", "recipe", "seeds", "seed", "teacher", "network", "on_progress", "side_by_side")
def train_plan(
    plan: Plan,
    data: object,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    seeds: int = 1,
    seed: int = 0,
    teacher: bool = True,
    network: nn.Module | None = None,
    on_progress: OnProgress | None = None,
    loss: str | Callable[..., object] | None = None,
    metric: str | Callable[..., object] | None = None,
    class_weights: str | Sequence[float] | None = None,
    side_by_side: int = 1,
) -> SearchResult:
    """Train, pack and measure `plan` into the folder `out`; also writes OUT/summary.json. Called again, it resumes.

    `data`, `loss`, `metric`, `class_weights` and `side_by_side` are as in `bankwise.search`; `network` is the module
    where the plan is of one in memory. With `teacher` the uncompressed network is trained first, over the same
    number of seeds: the plan starts from its weights, each seed from another, and learns from it where the
    recipe distills. Raises BankwiseError for a plan that is not of this network and data.
    """
    in_range(1, seeds=seeds, side_by_side=side_by_side)
    in_range(0, SEED, seed=seed)
    begin, recipe = time.time(), aimed(recipe or Recipe(), loss, metric, class_weights)
    if recipe.distill and not teacher:
        raise BankwiseError(f"recipe distill is {recipe.distill}: that needs a teacher; set it to 0")
    inputs = take(network or plan.network, data, plan.keep)
    task = inputs.task(recipe)
    if plan.images is not None:
        plan.images.check(inputs.data.images, "the plan", f"data set {inputs.data.name!r}")
    plan = dataclasses.replace(plan, images=inputs.data.images)
    cost = price(task.shape, plan)
    recipe = rehearse(task, plan)
    task = dataclasses.replace(task, recipe=recipe)
    folder = RunFolder(out)
    record = {
        "plan": plan.to_dict(),
        "data": inputs.data.name,
        "training_images": len(inputs.data.train_y),
        "recipe": dataclasses.asdict(recipe),
        "seeds": seeds,
        "seed": seed,
        "teacher": teacher,
        "source": inputs.source.to_dict(),
        "identity": task.identity(),
    }
    named = (*inputs.source.named_code, *plan.named_code, *recipe.named_code)
    with code_in_files(False, named):  # the folder may be of somebody else
        if folder.finished():
            folder.check(record)
            result = SearchResult.read(out, inputs.module, allow_code=True)
            told_finished(folder.path, on_progress)
            return result
        with folder.claimed(record):
            work = {DATA: 0} | ({"uncompressed": seeds * recipe.epochs} if teacher else {})
            work |= {"final searched": seeds * recipe.epochs, "test": 0}
            meter = Meter(work, on_progress, metric_name(metric_of(task)))
            meter.data(inputs.data, recipe)
            plan.save(folder.plan)
            with SideBySide(task, at_once(side_by_side, task, recipe), meter) as together:
                trainings = Trainings(inputs, task, folder, recipe, seed, meter, side_by_side=together)
                uncompressed = trainings.uncompressed(seeds) if teacher else []
                trainings.ahead(trainings.finals("searched", plan, seeds))
                results = trainings.final("searched", plan, seeds)
            check_some("the plan", results)
            meter("test", 0, "reading the files back")
            trainings.publish(results)
            measured = measure_files(task, cost, results)
            result = SearchResult(
                folder=folder.path,
                network=task.shape.network,
                data=task.data.name,
                plan=plan,
                planned_bytes=cost.file_bytes,
                paper_bits_per_weight=cost.paper_bits_per_weight,
                searched=dataclasses.replace(measured, bytes=folder.model.stat().st_size),
                uniform=None,
                uncompressed=measure_networks(task, uncompressed) if teacher else Measured(task.shape.float_bytes),
                trials=(),
                seconds=time.time() - begin,
                settings=folder.read(folder.settings),
                made=made(),
                metric=metric_of(task),
                confusion=confusion(task, folder.model),
            )
            folder.write(folder.summary, result.to_dict())
        return SearchResult.read(out, inputs.module, allow_code=True)
