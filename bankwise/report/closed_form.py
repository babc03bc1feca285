"""The closed form of a run's space: its staircase, where the run's plans lie on it, the gain of one more KiB.

The score of a plan is the weighted capture, shown as a geometric mean over its layers (`strategies.scores`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bankwise.report.gather import Run
from bankwise.search_space.accounting import make_accounting
from bankwise.search_space.budget import Budget
from bankwise.search_space.families import Choice
from bankwise.search_space.limits import Limits
from bankwise.search_space.plan import Plan
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import layer_weights, mean_capture, weighted_capture
from bankwise.strategies.solver import Solution, shadow_prices, staircase

KIB = 1024
POINTS = 100  # steps drawn: more are not visible
NEAR = 40  # further steps, drawn where the plans lie


@dataclass(frozen=True)
class PlanPoint:
    """A plan on the plane of the staircase: bytes in the budget's accounting, mean capture."""

    bytes: float
    capture: float


@dataclass(frozen=True)
class LayerGain:
    """One more KiB at one layer: the choice at the optimum, the one it could take alone, the relative gain of the
    mean capture, and its choice where all layers share the KiB."""

    name: str
    now: Choice
    alone: Choice
    gain: float
    shared: Choice

    @property
    def changes(self) -> bool:
        """Whether the layer takes another choice with one more KiB."""
        return (self.alone, self.shared) != (self.now, self.now)


@dataclass(frozen=True)
class ClosedForm:
    accounting: str
    steps: tuple[PlanPoint, ...]
    optimum: PlanPoint
    searched: PlanPoint
    uniform: PlanPoint | None
    trials: tuple[PlanPoint, ...]
    gain: float  # relative gain of the mean capture by one more KiB
    layers: tuple[LayerGain, ...]


def space_of(run: Run) -> BudgetedSpace:
    """The budgeted space of a search, from its settings."""
    record, budget = run.record, Budget(run.budget_bytes, run.accounting)
    return BudgetedSpace.of(run.shape, record.space, Limits(budget, record.max_ram, record.max_ops), run.module)


def closed_form(run: Run) -> ClosedForm | None:
    """None where the run is no search in a space."""
    if run.budget_bytes is None or run.record is None:
        return None
    space = space_of(run)
    scores = weighted_capture(space)
    problem = space.problem(scores)
    unit = make_accounting(run.accounting).units_per_byte
    weight = float(layer_weights(space).sum())

    def point(solution: Solution) -> PlanPoint:
        return PlanPoint((solution.cost + space.fixed) / unit, mean_capture(space, solution.score))

    def place(plan: Plan) -> PlanPoint:
        return point(problem.solution(space.indices(plan)))

    plans = (
        [trial.plan for trial in run.searched_trials] + [run.plan] + ([run.uniform_plan] if run.uniform_plan else [])
    )
    least = min(space.cost(space.indices(plan)) - space.fixed for plan in plans)
    near = np.linspace(least, space.capacity, NEAR).astype(np.int64).tolist()
    shadow = shadow_prices(problem, space.capacity, KIB * unit)
    steps = {step.cost: step for step in (*staircase(problem, points=POINTS), *staircase(problem, near), shadow.more)}
    return ClosedForm(
        accounting=run.accounting,
        steps=tuple(point(steps[cost]) for cost in sorted(steps)),
        optimum=point(shadow.base),
        searched=place(run.plan),
        uniform=None if run.uniform_plan is None else place(run.uniform_plan),
        trials=tuple(place(trial.plan) for trial in run.searched_trials),
        gain=math.expm1(shadow.gain / weight),
        layers=_gains(space, shadow.base.indices, shadow.more.indices, shadow.choices, shadow.layers / weight),
    )


def _gains(
    space: BudgetedSpace, now: Sequence[int], shared: Sequence[int], alone: Sequence[int], logs: np.ndarray
) -> tuple[LayerGain, ...]:
    rows = zip(space.space.names, now, alone, logs, shared, strict=True)
    return tuple(
        LayerGain(name, row[a], row[b], math.expm1(log), row[c])
        for i, (name, a, b, log, c) in enumerate(rows)
        for row in [space.choices(i)]
    )
