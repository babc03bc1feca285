"""A one-shot search of nni.nas from the task to a plan within the budget."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.oneshot.pytorch.strategy import OneShotStrategy
from nni.nas.space import RawFormatModelSpace
from nni.nas.strategy import DARTS, GumbelDARTS, RandomOneShot

from bankwise.search_space.errors import unknown
from bankwise.search_space.plan import Plan
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.engines.nni.nas.best_of import best_of
from bankwise.strategies.engines.nni.nas.profiler import PriceProfiler
from bankwise.strategies.engines.nni.nas.space import BankSpace
from bankwise.strategies.engines.nni.nas.training import evaluator
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task

STRATEGIES = {"darts": DARTS, "gumbel": GumbelDARTS, "random": RandomOneShot}


@dataclasses.dataclass(frozen=True)
class OneShotSettings:
    """`most`: choices a layer in the supernet. `closed_form`: logits start at the closed-form scores.

    `arc_learning_rate` is that of the logits, `held_out` the share of the training images they learn on, `penalty` the
    weight of the expected size above the budget (relative to it) in their loss. `plans` are compared at the end of
    RandomOneShot.
    """

    most: int = 12
    closed_form: bool = True
    arc_learning_rate: float = 3e-3
    held_out: float = 1 / 3
    penalty: float = 1.0
    plans: int = 32


def search_one_shot(
    name: str,
    task: Task,
    space: BudgetedSpace,
    recipe: Recipe | None = None,
    seed: int = 0,
    settings: OneShotSettings | None = None,
) -> Plan:
    """Train the shared-bank supernet by NNI's strategy `darts`, `gumbel` or `random`, and read off a plan of `space`.

    `recipe` (by default the task's) says how long and how. The plan is within the budget, whatever was learned: see
    `decode.most_probable` and `best_of.best_of`.
    """
    settings, recipe = settings or OneShotSettings(), recipe or task.recipe
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bank_space = BankSpace.of(task, space, settings.most, seed, settings.closed_form)
        strategy = make_one_shot(name, bank_space, settings)
        train_one_shot(bank_space, strategy, task, recipe, settings.held_out)
    if name == "random":
        sample = best_of(bank_space, task.data, settings.plans, seed=seed, metric=recipe.metric)
    else:
        sample = strategy.oneshot_module.export()
    return bank_space.plan(sample)


def make_one_shot(name: str, space: BankSpace, settings: OneShotSettings) -> OneShotStrategy:
    if name not in STRATEGIES:
        raise unknown("one-shot strategy", name, STRATEGIES)
    if name == "random":
        return RandomOneShot()
    budget = space.budgeted.budget
    penalty = {
        "profiler": PriceProfiler(space, budget.accounting),
        "baseline": float(space.budgeted.accounting.capacity(budget.bytes)),
        "scale": settings.penalty,
        "nonlinear": "positive",
    }
    return STRATEGIES[name](arc_learning_rate=settings.arc_learning_rate, penalty=penalty if settings.penalty else None)


def train_one_shot(
    space: BankSpace, strategy: OneShotStrategy, task: Task, recipe: Recipe, held_out: float = 0.0, **trainer: object
) -> None:
    """Turn `space` into the strategy's supernet, in place, and train it (`training.evaluator` takes the rest)."""
    if isinstance(strategy, RandomOneShot):
        held_out = 0.0  # it learns no logits
    with _quiet():
        trained = evaluator(task.data, recipe, task.teacher, held_out, **trainer)
        strategy(RawFormatModelSpace(space, trained), SequentialExecutionEngine())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning and NNI say of devices, loggers and the validation batches that a search has not."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "nni.nas.evaluator.pytorch.lightning")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec")  # of torch, for Lightning
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
