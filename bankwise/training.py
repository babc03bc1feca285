"""Train one plan, alone: the uncompressed teacher, the plan over several seeds, the test set."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from bankwise.phases import Phases, Watch
from bankwise.run_folder import RunFolder
from search_space.errors import BankwiseError
from search_space.plan import Plan
from search_space.price import price
from trainers.data import ImageData, load_data
from trainers.recipe import Recipe
from trainers.task import make_task


def train_plan(
    plan: Plan,
    data: str | ImageData,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    seeds: int = 1,
    seed: int = 0,
    teacher: bool = True,
    data_root: str | Path | None = None,
    limit: int | None = None,
    validation: float | None = None,
    watch: Watch | None = None,
) -> dict:
    """Train, pack and measure `plan`; returns the summary, also in OUT/summary.json. Called again, it resumes.

    With `teacher` the uncompressed network is trained first, over the same number of seeds: the plan starts from its
    weights, each seed from another, and learns from it where the recipe distills.
    BankwiseError for a plan that is not of this network and data.
    """
    if seeds < 1:
        raise BankwiseError(f"seeds={seeds} must be at least 1")
    begin, recipe = time.time(), recipe or Recipe()
    if isinstance(data, str):
        data = load_data(data, root=data_root, limit=limit, validation=validation)
    task = make_task(plan.network, data, recipe, plan.keep)
    price(task.shape, plan)
    folder = RunFolder(out)
    folder.claim(
        {
            "plan": plan.to_dict(),
            "data": data.name,
            "training_images": len(data.train_y),
            "recipe": dataclasses.asdict(recipe),
            "seeds": seeds,
            "seed": seed,
            "teacher": teacher,
        }
    )
    if (summary := folder.finished()) is not None:
        return summary
    work = {"uncompressed": seeds * recipe.epochs} if teacher else {}
    phases = Phases(task, folder, recipe, seed, work | {"final searched": seeds * recipe.epochs, "test": 0}, watch)
    plan.save(folder.plan)
    uncompressed = phases.uncompressed(seeds) if teacher else []
    results = phases.final("searched", plan, seeds)
    phases.watch("test", 0, "reading the files back")
    missing = {"accuracy": None, "test_accuracy": None, "bytes": task.shape.float_bytes}
    summary = {
        "network": task.shape.network,
        "data": data.name,
        "budget": None,
        "budget_bytes": None,
        **phases.publish(plan, results),
        "baseline_uniform": None,
        "uncompressed": phases.measure_networks(uncompressed) if teacher else missing,
        "seconds": time.time() - begin,
    }
    folder.write(folder.summary, summary)
    return summary
