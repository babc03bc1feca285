"""Plans to try first: the closed forms over all families, and those that lean to one family each.

The closed form counts captured energy. What the same energy is worth after a training differs between families, with the
network and with the length of the training (measured in results/ablations), so no constant corrects it. Leaning to a
family takes it in every hidden layer where it does not capture e^LEAN times less than another at the same cost.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from strategies.budgeted import BudgetedSpace
from strategies.scores import Scores, log_capture, small_first, total, weighted

LEAN = 2.0  # in units of log capture


def portfolio(space: BudgetedSpace) -> list[np.ndarray]:
    """Distinct plans, indices (layers,): the plan of `log_capture`, that of `weighted_capture`, then those that lean to
    one family of hidden layers, as good by `weighted_capture` as they come."""
    scores, importances = log_capture(space), small_first(space)
    leaning = [space.solve(weighted(leaned, importances)) for leaned in _leaned(space, scores)]
    by_score = weighted(scores, importances)
    leaning.sort(key=lambda plan: -total(by_score, plan))
    plans = [space.solve(scores), space.solve(by_score), *leaning]
    return list({tuple(map(int, plan)): plan for plan in plans}.values())


def families(space: BudgetedSpace) -> list[np.ndarray]:
    """Of every layer the family of each choice, (choices,)."""
    return [np.array([choice.family for choice in space.choices(i)]) for i in range(len(space.sizes))]


def _leaned(space: BudgetedSpace, scores: Scores) -> Iterator[Scores]:
    """The scores leaned to each family that hidden layers may take, none where they may take one alone."""
    rows = families(space)
    hidden = range(1, len(rows) - 1)
    offered = sorted({str(family) for i in hidden for family in rows[i]})
    for family in offered if len(offered) > 1 else []:
        yield [row - LEAN * (rows[i] != family) if i in hidden else row for i, row in enumerate(scores)]
