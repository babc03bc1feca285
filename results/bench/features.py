"""Plans as numbers: of every layer what its choice costs, captures and is."""

from __future__ import annotations

import numpy as np

from bankwise.strategies import BudgetedSpace
from bankwise.strategies.portfolio import families


def choice_features(space: BudgetedSpace) -> list[np.ndarray]:
    """Of every layer (choices, features): log bytes, log capture, log rate, log of the bank's size, of its dimension
    and of the parts of its kernel, each of deviation 1 over the layer's choices, and which family it is of."""
    table = []
    for i, (layer, costs, family) in enumerate(
        zip(space.space.shape.layers, space.costs, families(space), strict=True)
    ):
        choices = space.choices(i)
        numbers = np.array([
            [choice.capture(layer), choice.rate(layer), *choice.bank_size, choice.kernel_parts(layer) or 1]
            for choice in choices
        ])  # fmt: skip
        rows = np.log(np.column_stack([costs, numbers]))
        rows = (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-9)
        kinds = np.unique(family)
        table.append(np.column_stack([rows, family[:, None] == kinds[None]]).astype(float))
    return table


def plan_features(table: list[np.ndarray], plans: np.ndarray) -> np.ndarray:
    """Indices (plans, layers) -> (plans, features of all layers)."""
    return np.concatenate([rows[plans[:, i]] for i, rows in enumerate(table)], 1)
