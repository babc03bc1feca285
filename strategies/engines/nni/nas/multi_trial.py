"""Multi-trial search of nni.nas: what one trial does, and what keeps the proposals of a strategy within the budget."""

from __future__ import annotations

import dataclasses
import json
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import nni
from nni.nas.evaluator import Evaluator, FunctionalEvaluator
from nni.nas.execution.event import ModelEvent, ModelEventType
from nni.nas.experiment import NasExperimentConfig
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy import Strategy
from nni.nas.strategy.middleware import StrategyMiddleware
from torch import nn

from bankwise.search_space.files import write_text
from bankwise.search_space.plan import Plan
from bankwise.strategies.engines.nni.nas.space import BankSpace
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource
from bankwise.trainers.trial import run_trial


def trial_evaluator(
    source: TaskSource, recipe: Recipe, teacher: str | Path | None = None, records: str | Path | None = None
) -> FunctionalEvaluator:
    """NNI's evaluator whose trials train and measure one plan each by `recipe` (`try_model`).

    `teacher` is the checkpoint of the uncompressed network's training (`TaskSource.make`), `records` a folder for a
    JSON file a trial. Trials run elsewhere, so paths become absolute.
    """
    root = None if source.data_root is None else str(Path(source.data_root).resolve())
    return FunctionalEvaluator(
        try_model,
        source=dataclasses.replace(source, data_root=root).to_dict(),
        recipe=recipe.to_dict(),
        teacher=None if teacher is None else str(Path(teacher).resolve()),
        records=None if records is None else str(Path(records).resolve()),
    )


def try_model(
    model: nn.Module,
    source: dict[str, Any],
    recipe: dict[str, Any],
    teacher: str | None = None,
    records: str | None = None,
) -> float:
    """Train the plan of `model`, a child that a BankSpace froze, and report the accuracy of its packed file to NNI.

    The final result and the record say whether the plan is the sample itself or its projection onto the budget.
    """
    plan: Plan = cast(Any, model).bankwise_plan
    sample = nni.get_current_parameter().sample
    task = TaskSource.from_dict(source).make(Recipe.from_dict(recipe), None if teacher is None else Path(teacher))
    result = run_trial(task, plan, task.recipe, report=lambda epoch: nni.report_intermediate_result(epoch.accuracy))
    projected = any(sample[name] != code for name, code in plan.codes.items())
    record = {**result.metrics(), "projected": projected, "sample": sample, "plan": plan.to_dict()}
    if records is not None:
        told = zlib.crc32(json.dumps(sample, sort_keys=True).encode())  # NNI in one process has one id for all trials
        write_text(Path(records) / f"{nni.get_trial_id()}-{told:08x}.json", json.dumps(record))
    nni.report_final_result({"default": result.accuracy, "file_bytes": result.file_bytes, "projected": int(projected)})
    return result.accuracy


class Projection(StrategyMiddleware):
    """Replaces every model that a strategy submits by its projection onto the budget, so that the strategy learns from
    what was trained: `Chain(RegularizedEvolution(), Projection(space), Deduplication("invalid"))`.

    `wishes` are the samples before, those over the budget alone, each with its projection.
    """

    def __init__(self, space: BankSpace):
        super().__init__()
        self.space = space
        self.wishes: list[tuple[Any, ...]] = []

    def submit_models(self, *models: ExecutableModelSpace) -> None:
        for model in models:
            found = {**model.sample, **self.space.plan(model.sample).codes}
            if found != model.sample:
                self.wishes.append((model.sample, found))
            model.sample = found
        self.engine.submit_models(*models)

    def list_models(self, status: ModelStatus | None = None) -> Iterable[ExecutableModelSpace]:
        found: Iterable[ExecutableModelSpace] = self.engine.list_models(status)
        return found

    def register_model_event_callback(self, event_type: ModelEventType, callback: Callable[[ModelEvent], None]) -> None:
        self.engine.register_model_event_callback(event_type, callback)

    def unregister_model_event_callback(
        self, event_type: ModelEventType, callback: Callable[[ModelEvent], None]
    ) -> None:
        self.engine.unregister_model_event_callback(event_type, callback)

    def state_dict(self) -> dict[str, Any]:
        return {"wishes": self.wishes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.wishes = [tuple(pair) for pair in state_dict["wishes"]]


def experiment_config(space: BankSpace, evaluator: Evaluator, strategy: Strategy) -> NasExperimentConfig:
    """NNI's default settings, with trials that start by `bankwise.strategies.engines.nni.nas.trial`."""
    config = NasExperimentConfig.default(space, evaluator, strategy)
    config._trial_command_params = {"python": f"{sys.executable} -m bankwise.strategies.engines.nni.nas.trial"}
    return config
