"""The closed form of a run's space: its staircase, where the run's plans lie on it, what one more KiB would buy.

The score of a plan is the sum over its L layers of ln(rate), the rate being index bits per weight; it is shown as
exp(score / L), the geometric mean of the rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bankwise.report.gather import Run, checked
from search_space.basis import Choice
from search_space.budget import Budget
from search_space.plan import Plan
from search_space.space import SearchSpace, SpaceSettings
from strategies.budgeted import BudgetedSpace
from strategies.scores import log_rate
from strategies.solver import Solution, shadow_prices, staircase

KIB = 1024
POINTS = 100  # steps drawn: more cannot be told apart
NEAR = 40  # of them, further ones where the plans lie


@dataclass(frozen=True)
class Spot:
    """A plan on the plane of the staircase: bytes in the budget's accounting, geometric mean rate in bits a weight."""

    bytes: float
    rate: float


@dataclass(frozen=True)
class LayerGain:
    """One more KiB at one layer: the choice at the optimum, the one it could take alone, the mean rate's relative gain,
    and its choice where all layers share the KiB."""

    name: str
    now: Choice
    alone: Choice
    gain: float
    shared: Choice


@dataclass(frozen=True)
class ClosedForm:
    accounting: str
    steps: tuple[Spot, ...]
    optimum: Spot
    searched: Spot
    uniform: Spot | None
    trials: tuple[Spot, ...]
    gain: float  # relative gain of the mean rate by one more KiB
    layers: tuple[LayerGain, ...]


def space_of(run: Run) -> BudgetedSpace:
    """The budgeted space of a search, from its settings."""
    return checked(run.path / "settings.json", lambda: _space(run, run.settings))


def _space(run: Run, settings: Mapping) -> BudgetedSpace:
    space = SpaceSettings(**{key: _tupled(value) for key, value in settings["space"].items()})
    budget = Budget(run.budget_bytes, run.accounting)
    return BudgetedSpace(SearchSpace(run.shape, space), budget, settings["max_ram"], settings["max_ops"])


def _tupled(value: object) -> object:
    """JSON's lists as the tuples they were."""
    if isinstance(value, list):
        return tuple(map(_tupled, value))
    return {key: _tupled(item) for key, item in value.items()} if isinstance(value, dict) else value


def closed_form(run: Run) -> ClosedForm | None:
    """None where the run is no search in a space."""
    if run.budget_bytes is None or "space" not in run.settings:
        return None
    space = space_of(run)
    scores = log_rate(space)
    problem = space.problem(scores)
    unit = 1 if run.accounting == "file" else 8
    count = len(space.sizes)

    def spot(solution: Solution) -> Spot:
        return Spot((solution.cost + space.fixed) / unit, math.exp(solution.score / count))

    def place(plan: Plan) -> Spot:
        return spot(problem.solution(space.indices(plan)))

    plans = [trial.plan for trial in run.trials] + [run.plan] + ([run.uniform_plan] if run.uniform_plan else [])
    least = min(space.cost(space.indices(plan)) - space.fixed for plan in plans)
    near = np.linspace(least, space.capacity, NEAR).astype(np.int64).tolist()
    shadow = shadow_prices(problem, space.capacity, KIB * unit)
    steps = {step.cost: step for step in (*staircase(problem, points=POINTS), *staircase(problem, near), shadow.more)}
    return ClosedForm(
        accounting=run.accounting,
        steps=tuple(spot(steps[cost]) for cost in sorted(steps)),
        optimum=spot(shadow.base),
        searched=place(run.plan),
        uniform=None if run.uniform_plan is None else place(run.uniform_plan),
        trials=tuple(place(trial.plan) for trial in run.trials),
        gain=math.expm1(shadow.gain / count),
        layers=_gains(space, shadow.base.indices, shadow.more.indices, shadow.choices, shadow.layers / count),
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
