"""Ray's search space of log-importances, one a layer: its own search algorithms and population-based training obey the
budget as they are, since any values decode to a plan within it (`bankwise.strategies.encodings`)."""

from __future__ import annotations

from ray import tune

from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import BOX


def importance_space(space: BudgetedSpace) -> dict[str, tune.search.sample.Float]:
    """A `param_space`, or the mutations of PBT."""
    return {name: tune.uniform(*BOX) for name in space.space.names}


def importance_bounds(space: BudgetedSpace) -> dict[str, list[float]]:
    """The same box as PB2 takes it."""
    return {name: list(BOX) for name in space.space.names}
