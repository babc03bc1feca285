"""Plans to try first: the closed form over all choices, the best uniform plan, and those that prefer a part of them.

The closed form counts captured energy. What the same energy is worth after a training differs between families, with
the network and the length of the training (measured in results/ablations), so no constant corrects it; and whole and
split kernels are often near ties. Where bytes are few the uniform plan can train better than all of these.

Preferring a part means to take it in every hidden layer where it does not capture e^PREFERENCE times less than another
choice at the same cost.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import importances, log_capture, total, weighted
from bankwise.strategies.uniform import ranked

PREFERENCE = 2.0  # in units of log capture


def portfolio(space: BudgetedSpace) -> list[np.ndarray]:
    """Distinct plans, indices (layers,): the plan of `weighted_capture`, the best uniform one, those that prefer one
    family, to whole kernels or to split ones, the best by `weighted_capture` first, and that of `log_capture`."""
    scores, layers = log_capture(space), importances(space)
    by_score = weighted(scores, layers)
    preferring = []
    for part in _parts(space):
        preferred = [row - PREFERENCE * ~inside for row, inside in zip(scores, part, strict=True)]
        preferring.append(space.solve(weighted(preferred, layers)))
    preferring.sort(key=lambda plan: -total(by_score, list(plan)))
    uniform = [np.array(plan) for plan in ranked(space)[:1]]
    plans = [space.solve(by_score), *uniform, *preferring, space.solve(scores)]
    return list({tuple(map(int, plan)): plan for plan in plans}.values())


def families(space: BudgetedSpace) -> list[np.ndarray]:
    """Of every layer the family of each choice, (choices,)."""
    return [np.array([choice.family for choice in space.choices(i)]) for i in range(len(space.sizes))]


def _parts(space: BudgetedSpace) -> Iterator[list[np.ndarray]]:
    """Parts of the choices, masks (choices,) of every layer: each family, banks of whole kernels, banks of split ones.
    The first and the last layer are taken whole, and a part that hidden layers have nothing beside is none."""
    rows = families(space)
    offered = sorted({str(family) for row in rows[1:-1] for family in row})
    parts = [[row == family for row in rows] for family in offered]
    for whole in (True, False):
        parts.append([
            np.array([
                parts is None or (parts == 1) == whole
                for parts in (choice.kernel_parts(layer) for choice in space.choices(i))
            ])
            for i, layer in enumerate(space.space.shape.layers)
        ])  # fmt: skip
    for part in parts:
        part[0], part[-1] = np.ones_like(part[0]), np.ones_like(part[-1])
        if not all(inside.all() for inside in part):
            yield part
