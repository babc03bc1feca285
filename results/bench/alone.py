"""A setting of the table, and what layers compressed alone say of it: measured once, kept in a file."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit
from scipy.stats import kendalltau

from bankwise.search_space.files import write_text
from bankwise.search_space.layer import build_child
from bankwise.search_space.plan import Plan
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.alone import interpolated, measure, spread
from bankwise.strategies.scores import Scores, total, weighted_capture
from bankwise.trainers.evaluate import measure_on, recalibrate
from bankwise.trainers.task import Task
from bankwise.trainers.trial import run_trial
from results.bench.fit import fitted_without
from results.bench.setting import SETTINGS
from results.bench.surrogate import EDGE, usable
from results.bench.table import Table
from results.bench.taus import Tau, bootstrapped

SEEDS = (11, 12, 13)  # of measurements; the table's trainings have others
TRAINED = 3  # trainings of every plan
PARTS = ("all", "random", "near")
ALONE, UNADAPTED = "alone", "alone, not adapted"


class Bench:
    """One setting: its table's plans, and what was measured of them, kept in `cache`."""

    def __init__(self, tables: Sequence[Table], name: str, root: str, cache: Path) -> None:
        self.table = next(table for table in tables if table.name == name)
        self.setting, self.root, self.folder = SETTINGS[name], root, cache
        self.space = self.setting.space
        self.plans, self.truth, self.origins = usable(self.table)
        self.closed = weighted_capture(self.space, fitted_without(tables, name))
        self.kept = spread(self.space)
        self.path = cache / f"supernet-{name}.json"
        self.known: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    @cached_property
    def _task(self) -> Task:
        return self.setting.task(self.root, self.folder)

    def task(self, seed: int, trainings: int = 1) -> Task:
        recipe = dataclasses.replace(self.setting.recipe, seed=seed, epochs=trainings * self.setting.recipe.epochs)
        return dataclasses.replace(self._task, recipe=recipe)

    def of(self, key: str, make: Callable[..., Any], *arguments: object) -> Any:
        """What `make(*arguments)` gives, JSON-ready, made once; `seconds` tells how much of the processor that took."""
        if key not in self.known:
            begin = time.process_time()
            self.known[key] = [make(*arguments), time.process_time() - begin]
            write_text(self.path, json.dumps(self.known))
            print(self.table.name, key, f"{self.known[key][1]:.1f} s", flush=True)
        return self.known[key][0]

    def seconds(self, key: str) -> float:
        return float(self.known[key][1])

    def alone(self, seed: int) -> Scores:
        """The scores of strategy `alone`, measured by that seed."""
        return self._interpolated(self.of(f"{ALONE} {seed}", _measured, self.space, self.task(seed), self.kept))

    def unadapted(self, seed: int) -> Scores:
        """The same without any training."""
        return self._interpolated(self.of(f"{UNADAPTED} {seed}", _unadapted, self.space, self.task(seed), self.kept))

    def _interpolated(self, accuracies: list[list[float]]) -> Scores:
        return interpolated(self.space, self.kept, [np.array(row) for row in accuracies])

    def trained(self, scores: Scores) -> tuple[list[float], float]:
        """Accuracies of the best plan by `scores`, trained by each seed of the table; mean seconds of a training."""
        plan = self.space.plan(self.space.solve(scores))
        keys = {f"{plan.text} {seed}": seed for seed in range(1, 1 + TRAINED)}
        found = [self.of(key, _accuracy, self.task(seed), plan) for key, seed in keys.items()]
        return found, float(np.mean([self.seconds(key) for key in keys]))

    def totals(self, scores: Scores) -> np.ndarray:
        return np.array([total(scores, plan) for plan in self.plans])

    def taus(self, values: Sequence[np.ndarray]) -> list[Tau]:
        """Of each part of the plans the mean tau of several scorings, with the bootstrap's interval over plans."""
        found = []
        for part in PARTS:
            of = np.flatnonzero((part == "all") | (self.origins == PARTS.index(part) - 1))

            def mean(some: np.ndarray, of: np.ndarray = of) -> float:
                return float(np.mean([kendalltau(row[of[some]], self.truth[of[some]]).statistic for row in values]))

            found.append(bootstrapped(mean, len(of)))
        return found


def _measured(space: BudgetedSpace, task: Task, kept: Sequence[np.ndarray]) -> list[list[float]]:
    return [row.tolist() for row in measure(space, task, kept)]


def _accuracy(task: Task, plan: Plan) -> float:
    return run_trial(task, plan, task.recipe).accuracy


def _unadapted(space: BudgetedSpace, task: Task, kept: Sequence[np.ndarray]) -> list[list[float]]:
    """Of each choice alone the accuracy without any training, norms estimated anew."""
    cheapest, found = [int(costs.argmin()) for costs in space.costs], []
    for i, indices in enumerate(kept):
        found.append([])
        for index in indices:
            plan = space.plan([*cheapest[:i], int(index), *cheapest[i + 1 :]])
            layers = task.shape.layers[i : i + 1]
            child = build_child(task.network, task.shape, plan, task.recipe.seed, task.teacher, layers)
            recalibrate(child, task.data.train_x, batches=task.recipe.recalibrate)
            found[-1].append(measure_on(child, task.data))
    return found


def shares(benches: Sequence[Bench]) -> np.ndarray:
    """Least-squares worth of the closed form and of what was measured alone, in logits of the accuracy; every origin of
    every setting has a mean of its own, and all data sets count alike. Divided by the worth of the closed form where it
    stands alone, so that their sum is in its units."""
    counts = Counter(bench.setting.data for bench in benches)
    rows, values = [], []
    for bench in benches:
        for seed in SEEDS:
            for origin in np.unique(bench.origins):
                of = bench.origins == origin
                x = np.column_stack([bench.totals(bench.closed), bench.totals(bench.alone(seed))])[of]
                y = logit(np.clip(bench.truth[of], EDGE, 1 - EDGE))
                weight = (len(y) * counts[bench.setting.data]) ** -0.5
                rows.append(weight * (x - x.mean(0)))
                values.append(weight * (y - y.mean()))
    x, y = np.concatenate(rows), np.concatenate(values)
    both, closed = np.linalg.lstsq(x, y, rcond=None)[0], np.linalg.lstsq(x[:, :1], y, rcond=None)[0]
    return np.asarray(both / closed)


def summed(bench: Bench, seed: int, benches: Sequence[Bench]) -> Scores:
    """With shares learned without the setting."""
    closed, measured = shares([other for other in benches if other is not bench])
    return [closed * a + measured * b for a, b in zip(bench.closed, bench.alone(seed), strict=True)]
