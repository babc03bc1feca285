"""Plans as points that any optimizer can search: every point decodes to a plan within the budget.

So such an optimizer obeys the budget with neither rejection nor penalty.
"""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.plan import Plan
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import Scores, log_capture

BOX = (-2.0, 2.0)  # of log-importances
Indices = tuple[int, ...]


class ImportanceEncoding:
    """Points are log-importances, one a layer; `scores[i]` (m_i,) are weighted by them. The solver maximizes their sum;
    all zero is the plan of the scores themselves."""

    def __init__(self, space: BudgetedSpace, scores: Scores) -> None:
        self.space, self.scores = space, scores

    @property
    def names(self) -> tuple[str, ...]:
        """The layers, in the order of a point's numbers."""
        return self.space.space.names

    def decode(self, point: Sequence[float]) -> np.ndarray:
        """Indices (layers,) of the optimal plan for log-importances (layers,), any real numbers.

        Raises:
            BankwiseError: another number of values than of layers, or one that is not finite.
        """
        values = np.asarray(point, float)
        if values.shape != (len(self.scores),) or not np.isfinite(values).all():
            raise BankwiseError(f"importances {values.tolist()}: need {len(self.scores)} finite numbers, one a layer")
        weights = np.exp(values - values.max())
        return self.space.solve([weight * row for weight, row in zip(weights, self.scores, strict=True)])


class PlanEncoding:
    """Points are {layer: value}, as NNI and Ray pass them on: a choice's code for every layer (S32.4.3x3), or a
    log-importance for every layer, over the scores `log_capture`.

    `codes` maps each layer to the codes of its choices. Whatever is no such point raises BankwiseError.
    """

    def __init__(self, space: BudgetedSpace) -> None:
        self.space, self.names = space, space.space.names
        self.codes = {name: [choice.code() for choice in space.choices(i)] for i, name in enumerate(self.names)}
        self._places = {name: {code: i for i, code in enumerate(row)} for name, row in self.codes.items()}

    @cached_property
    def _importance(self) -> ImportanceEncoding:
        return ImportanceEncoding(self.space, log_capture(self.space))

    def encode(self, indices: Sequence[int] | np.ndarray) -> dict[str, str]:
        """The codes of a plan's choices."""
        return {name: row[i] for (name, row), i in zip(self.codes.items(), indices, strict=True)}

    def indices(self, point: object) -> Indices:
        """The place of the point's plan in the space; of codes exactly these, within the budget or not."""
        values = self.values(point)
        if all(isinstance(value, str) for value in values):
            return tuple(self.index(name, code) for name, code in zip(self.names, values, strict=True))
        if all(_is_number(value) for value in values):
            return tuple(int(i) for i in self._importance.decode(values))
        raise BankwiseError(f"{reprlib.repr(point)}: give every layer a choice's code, or every layer a finite number")

    def decode(self, point: object) -> Indices:
        """The plan within the budget nearest to the point's; one within it is itself."""
        return tuple(int(i) for i in self.space.project(self.indices(point)))

    def plan(self, point: object) -> Plan:
        """The point's plan; one over the budget is an error."""
        indices = self.indices(point)
        if not self.space.fits(indices):
            text = " ".join(f"{name}={code}" for name, code in self.encode(indices).items())
            raise BankwiseError(f"plan {text} exceeds the limits of the search ({self.space.budget})")
        return self.space.plan(indices)

    def read(self, text: str) -> Plan:
        """The plan of `Plan.text`; one over the budget is an error."""
        pairs = (word.rpartition("=") for word in text.split())
        return self.plan({name: code for name, _, code in pairs})

    def values(self, point: object) -> list[Any]:
        """The value of each layer, of every kind."""
        if not isinstance(point, Mapping) or not point:
            raise BankwiseError(f"{reprlib.repr(point)} is not a value for every layer: {', '.join(self.names)}")
        for name in point:
            if name not in self.codes:
                raise unknown("layer", name, self.names)
        for name in self.names:
            if name not in point:
                raise BankwiseError(f"{reprlib.repr(dict(point))} has no value for layer {name!r}")
        return [point[name] for name in self.names]

    def index(self, layer: str, code: object) -> int:
        """Of a choice among its layer's."""
        place = self._places[layer].get(code) if isinstance(code, str) else None
        if place is None:
            near = difflib.get_close_matches(str(code), self.codes[layer], n=3, cutoff=0)
            raise BankwiseError(
                f"layer {layer!r}: choice {reprlib.repr(code)} is not in the search space; "
                f"near it are {', '.join(near)}"
            )
        return place


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False
