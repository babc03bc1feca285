"""Scores that need no data: how much of a layer's weight a choice can express, from its shape alone.

They are summed over layers and maximized under the budget. The logarithm makes them a geometric mean: no layer is given
up whole, since a layer that carries nothing ends the signal.

- `log_rate`: log of the information bits a weight (the rate). By rate-distortion theory the share of a random
  weight's energy that the best of k random signs captures is about 2 ln 2 times the rate.
- `log_capture`: log of that share for what can be built, as each family's `capture` says, less what coarse vectors lose
  (`Vectors.kept`), corrected by what the same energy was worth after trainings: whole tiles capture more of trained
  kernels than of random ones, say.
- `weighted_capture`: the same, each layer by its importance (`importances`). It is the closed form of plans and
  searches; `mean_capture` shows it as a share.

The corrections and the importances are learned from trainings (`strategies.learned`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from bankwise.search_space.families import Choice
from bankwise.search_space.settings import is_depthwise
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.space import SearchSpace
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.learned import LEARNED, Constants

Scores = list[np.ndarray]


def log_rate(space: BudgetedSpace) -> Scores:
    kept = _kept(space.space, LEARNED)
    return _allowed(
        space, _table(space.space, lambda layer, choice: math.log(choice.rate(layer)) + kept(layer, choice))
    )


def log_capture(space: BudgetedSpace, constants: Constants = LEARNED) -> Scores:
    return _allowed(space, _captures(space.space, constants))


@lru_cache(maxsize=8)  # one space under several budgets
def _captures(space: SearchSpace, constants: Constants) -> Scores:
    kept = _kept(space, constants)
    return _table(space, lambda layer, choice: _worth(layer, choice, constants) + kept(layer, choice))


def _kept(space: SearchSpace, constants: Constants) -> Callable[[LayerShape, Choice], float]:
    """Log of the energy share that a choice's storage of vectors leaves; 0 where no choice says how."""
    bits = space.settings.vector_bits
    if all(choice.vectors is None for row in space.choices for choice in row):
        return lambda layer, choice: 0.0

    def kept(layer: LayerShape, choice: Choice) -> float:
        if not choice.has_vectors(layer):
            return 0.0
        stored = choice.stored(bits)
        lost = constants.shared_depthwise if stored.shared and is_depthwise(layer) else 0.0
        return math.log(stored.kept(layer.n)) + lost

    return kept


def importances(space: BudgetedSpace, constants: Constants = LEARNED) -> np.ndarray:
    """Log-importances (layers,) of mean 0: what a layer loses counts more in some than in others."""
    layers = space.space.shape.layers
    weights = np.log([layer.weights for layer in layers])
    positions = np.log([layer.positions for layer in layers])
    found = constants.weights * (weights - weights.mean()) + constants.positions * (positions - positions.mean())
    if len(layers) > 1:
        found = found + constants.depth * np.linspace(-0.5, 0.5, len(layers))
        found[0] += constants.first
        found[-1] += constants.last
    return np.asarray(found - found.mean())


def weighted_capture(space: BudgetedSpace, constants: Constants = LEARNED) -> Scores:
    """`log_capture` weighted by the `importances`."""
    return weighted(log_capture(space, constants), importances(space, constants))


def mean_capture(space: BudgetedSpace, score: float) -> float:
    """A `weighted_capture` of a plan as a geometric mean over its layers, in which each counts e^importance times."""
    return math.exp(score / layer_weights(space).sum())


def layer_weights(space: BudgetedSpace, constants: Constants = LEARNED) -> np.ndarray:
    """How much each layer counts in `weighted_capture`, (layers,)."""
    weights: np.ndarray = np.exp(importances(space, constants))
    return weights


def weighted(scores: Scores, importances: np.ndarray) -> Scores:
    """Scores times e^importance of each layer: log-importances (layers,)."""
    return [weight * row for weight, row in zip(np.exp(importances), scores, strict=True)]


def total(scores: Scores, indices: Sequence[int] | np.ndarray) -> float:
    """The score of a plan."""
    return sum(float(row[i]) for row, i in zip(scores, indices, strict=True))


def totals(scores: Scores, plans: np.ndarray) -> np.ndarray:
    """The scores of plans (plans, layers), (plans,)."""
    found: np.ndarray = sum((row[i] for row, i in zip(scores, plans.T, strict=True)), np.zeros(len(plans)))
    return found


def _worth(layer: LayerShape, choice: Choice, constants: Constants) -> float:
    bank, dimension = choice.bank_size
    return (
        math.log(choice.capture(layer))
        + constants.split * math.log(choice.kernel_parts(layer) or 1)
        + constants.bank * math.log(bank)
        + constants.dimension * math.log(dimension)
        + constants.families.get(choice.family, 0.0)
    )


def _table(space: SearchSpace, score: Callable[[LayerShape, Choice], float]) -> Scores:
    rows = zip(space.shape.layers, space.choices, strict=True)
    return [np.array([score(layer, choice) for choice in row]) for layer, row in rows]


def _allowed(space: BudgetedSpace, scores: Scores) -> Scores:
    return [row[allowed] for row, allowed in zip(scores, space.allowed, strict=True)]
