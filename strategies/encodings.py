"""Two encodings of a space in which every point decodes to a plan within the budget.

`ImportanceEncoding`: one real number a layer, its log-importance; the solver maximizes the importance-weighted scores.
All zero is the plan of the scores themselves. `ChoiceEncoding`: one category a layer, projected onto the budget.
So any optimizer of such points obeys the budget with neither rejection nor penalty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_space.errors import BankwiseError
from strategies.budgeted import BudgetedSpace
from strategies.scores import Scores

BOX = (-2.0, 2.0)


class ImportanceEncoding:
    def __init__(self, space: BudgetedSpace, scores: Scores):
        self.space, self.scores = space, scores

    @property
    def names(self) -> tuple[str, ...]:
        return self.space.space.names

    def decode(self, point: Sequence[float]) -> np.ndarray:
        """Log-importances (layers,), any real numbers -> indices of the optimal plan."""
        point = np.asarray(point, float)
        if point.shape != (len(self.scores),) or not np.isfinite(point).all():
            raise BankwiseError(f"importances {point.tolist()}: need {len(self.scores)} finite numbers, one a layer")
        weights = np.exp(point - point.max())
        return self.space.solve([weight * row for weight, row in zip(weights, self.scores, strict=True)])


class ChoiceEncoding:
    def __init__(self, space: BudgetedSpace):
        self.space = space

    def decode(self, point: Sequence[int]) -> np.ndarray:
        """One choice a layer, feasible or not -> indices of the nearest feasible plan."""
        for name, index, size in zip(self.space.space.names, point, self.space.sizes, strict=True):
            if not 0 <= index < size:
                raise BankwiseError(f"layer {name!r}: choice {index} is not in 0..{size - 1}")
        return self.space.project(np.asarray(point, int))
