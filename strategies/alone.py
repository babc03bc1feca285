"""Thompson sampling whose prior was measured: what each layer loses where it is compressed alone.

A few choices of every layer are tried, each alone in the trained network that is in floating point otherwise, for a few
steps (`bankwise.trainers.alone`): all of them take no more steps than two trainings. The logit of the accuracy, made to
rise with what the choice captures, is interpolated over that for the other choices. Added to the closed form it is the
mean of the additive model. The first plan is the closed form's, the second the best by that sum, exactly: the sum
orders plans better (results/bench), but its own best lies at its edge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.additive.prior import DEVIATIONS, Prior
from bankwise.strategies.additive.scale import as_logits
from bankwise.strategies.additive.strategy import Thompson
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.frontier import frontier
from bankwise.strategies.scores import Scores, log_capture, weighted_capture
from bankwise.trainers.alone import adapted_alone
from bankwise.trainers.checkpoint import load_checkpoint, save_checkpoint
from bankwise.trainers.checksum import checksum
from bankwise.trainers.loop import EpochReport, optimizer_steps
from bankwise.trainers.task import Task

CHOICES = 6  # measured a layer
STEPS = 8  # each
TRAININGS = 2  # that all of them may take, in steps
CLOSED_FORM, MEASURED = 0.50, 1.63  # shares of the two scores in their sum: `python results/bench/supernet.py`


class Alone(Thompson):
    name = "alone"
    measured: Scores | None = None

    def prepare(
        self, task: Task, folder: Path | None = None, report: Callable[[EpochReport], None] | None = None
    ) -> None:
        kept = spread(self.space)
        found = measure(self.space, task, kept, None if folder is None else folder / "alone.pt")
        self._take(interpolated(self.space, kept, found))
        for indices, accuracy in self.results:
            self._observe(indices, accuracy)

    def _propose(self) -> np.ndarray:
        if self.measured is None:
            raise BankwiseError("strategy 'alone' needs prepare() with a trained network before it proposes")
        return super()._propose()

    @property
    def scores(self) -> Scores:
        """The sum of the closed form and what was measured, a sum over layers. The closed form where nothing was: so
        trials are judged without the network."""
        closed = weighted_capture(self.space)
        return closed if self.measured is None else with_closed_form(self.space, self.measured)

    @cached_property
    def prior(self) -> Prior:
        return Prior(self.space, DEVIATIONS).following(self.space, self.scores)

    @cached_property
    def founders(self) -> list[np.ndarray]:
        first, *others = super().founders
        return [first, self.space.solve(self.scores), *others]

    def _take(self, measured: Scores | None) -> None:
        self.measured = measured
        for name in ("prior", "posterior", "founders"):
            self.__dict__.pop(name, None)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"measured": self.measured and [row.tolist() for row in self.measured]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        measured = state.get("measured")
        self._take(measured and [np.array(row) for row in measured])
        super().load_state_dict(state)


def spread(space: BudgetedSpace, most: int = CHOICES) -> list[np.ndarray]:
    """Indices of up to `most` choices of each layer, by rising cost: efficient ones that fit beside the cheapest of all
    other layers, spread over their log capture."""
    scores, found = log_capture(space), []
    spare = space.capacity - sum(int(costs.min()) for costs in space.costs)
    for costs, row, kept in zip(space.costs, scores, frontier(space, scores), strict=True):
        kept = kept[costs[kept] <= spare + costs.min()]
        wanted = np.linspace(row[kept].min(), row[kept].max(), most)
        found.append(kept[np.unique(np.abs(row[kept][:, None] - wanted).argmin(0))])
    return found


def measure(
    space: BudgetedSpace, task: Task, kept: Sequence[np.ndarray], checkpoint: Path | None = None, steps: int = STEPS
) -> list[np.ndarray]:
    """`adapted_alone` of the choices `kept` of each layer, for up to `steps` steps each, of all TRAININGS at most. With
    `checkpoint` a measurement that was stopped goes on.

    Raises BankwiseError where there is no trained network, or the checkpoint is of another measurement.
    """
    if task.teacher is None:
        raise BankwiseError("strategy 'alone' needs a trained uncompressed network")
    steps = max(1, min(steps, TRAININGS * optimizer_steps(task.data, task.recipe) // sum(map(len, kept))))
    cheapest = [int(costs.argmin()) for costs in space.costs]
    settings = _settings(task, steps)
    there = checkpoint is not None and checkpoint.exists()
    done: dict[str, float] = load_checkpoint(checkpoint, settings)["done"] if checkpoint and there else {}
    found = []
    for layer, indices in enumerate(kept):
        values = []
        for index in indices:
            key = f"{layer} {space.choices(layer)[index].code()}"
            if key not in done:
                plan = space.plan([*cheapest[:layer], int(index), *cheapest[layer + 1 :]])
                done[key] = adapted_alone(task, plan, layer, steps)
                if checkpoint is not None:
                    save_checkpoint(checkpoint, {"done": done}, settings)
            values.append(done[key])
        found.append(np.array(values))
    return found


def _settings(task: Task, steps: int) -> dict[str, object]:
    """What the values depend on besides layer and choice; threads and device change rounding only."""
    assert task.teacher is not None
    recipe = {**task.recipe.to_dict(), "threads": None, "device": None}
    weights: list[torch.Tensor] = [*task.teacher.parameters(), *task.teacher.buffers()]
    return {**recipe, "steps": steps, "teacher": checksum(weights), **task.data.identity()}


def interpolated(space: BudgetedSpace, kept: Sequence[np.ndarray], accuracies: Sequence[np.ndarray]) -> Scores:
    """Scores of all choices from the accuracies of the `kept`: their logits, the nearest that rise with log capture,
    linear in it between them. Where there is none (NaN), since the training diverged, the least of all stands."""
    measured = np.concatenate(accuracies)
    least = 0.0 if np.isnan(measured).all() else np.nanmin(measured)
    logits = as_logits(np.where(np.isnan(measured), least, measured).tolist())
    rows = np.split(logits, np.cumsum([len(values) for values in accuracies])[:-1])
    found = []
    for row, indices, values in zip(log_capture(space), kept, rows, strict=True):
        order = np.argsort(row[indices], kind="stable")
        rising = isotonic_regression(values[order]).x
        found.append(np.interp(row, row[indices][order], rising))
    return found


def with_closed_form(space: BudgetedSpace, measured: Scores) -> Scores:
    """The sum of both scores, in units of the closed form's."""
    return [
        CLOSED_FORM * closed + MEASURED * row for closed, row in zip(weighted_capture(space), measured, strict=True)
    ]
