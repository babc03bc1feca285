"""Compression of a trained network without training: each layer's candidates, what they lose, and the exact solver.

A plan's score is minus the sum over its layers of importance times error. The error of a candidate is the squared
error of the weight over its squared norm, with the best scale of each filter.

- Without data every importance is 1: to first order an output's relative noise is the sum of its layers', where they
  pass noise on as they pass the signal.
- With calibration images the errors are weighed by the energy of the input channels that they meet, so that it is the
  layer's output that is approximated, and the importance of a layer is measured: the Kullback-Leibler divergence
  between the outputs of the trained network and of the one with this layer alone at int4, over int4's error.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from search_space.basis import Choice, Composite, Integer
from search_space.budget import Budget
from search_space.errors import BankwiseError, unknown
from search_space.fits import Fit, LayerFits
from search_space.layout import choice_bytes
from search_space.plan import Plan
from search_space.shape import LayerShape, NetworkShape
from search_space.space import KINDS, SearchSpace, SpaceSettings, layer_choices
from strategies.budgeted import BudgetedSpace
from strategies.scores import capture
from strategies.sensitivity import channel_energies
from strategies.solver.dominance import efficient

ROUNDED = ("int2", "int3", "int4", "int5", "int6", "int7", "int8", "binary")  # one choice each, fitted at once
CONVERTED = tuple(kind for kind in KINDS if not kind.startswith("float") and kind not in ("tiled", "subbit"))
MOST_K = 64  # filters of a bank
BANKS = 6  # choices tried of a kind that offers many, spread over their bytes
_PROXIES = 2**26  # slots times bank filters beyond which a bank's fit takes too much memory
_OPERATIONS = 10**12  # of the images that importances are measured on, all layers together
Watch = Callable[[str, int, int], None]  # what is under way, layers done, layers


@dataclass(frozen=True)
class Candidates:
    """What each layer may become, and what that loses: `errors[i]`, one for each of `choices[i]`."""

    shape: NetworkShape
    fits: tuple[LayerFits, ...]
    choices: tuple[tuple[Choice, ...], ...]
    errors: tuple[np.ndarray, ...]
    importances: np.ndarray
    vector_bits: int

    def solve(self, budget: Budget) -> Plan:
        """The plan that loses least within the budget, exactly. Raises InfeasibleBudget."""
        space = BudgetedSpace(offering(self.shape, self.choices, self.vector_bits), budget)
        return space.plan(
            space.solve([-weight * row for weight, row in zip(self.importances, self.errors, strict=True)])
        )

    def loss(self, plan: Plan) -> float:
        """Importance times error, summed over the layers."""
        rows = zip(self.shape.layers, self.choices, self.errors, self.importances, strict=True)
        return float(sum(w * errors[choices.index(plan.layers[layer.name])] for layer, choices, errors, w in rows))

    def fit(self, plan: Plan, watch: Watch | None = None) -> dict[str, Fit]:
        """The fits of the plan's choices."""
        found = {}
        for i, fits in enumerate(self.fits):
            found[fits.layer.name] = fits.fit(plan.layers[fits.layer.name])
            fits.close()
            if watch is not None:
                watch("packing", i + 1, len(self.fits))
        return found


def offering(shape: NetworkShape, choices: Sequence[Sequence[Choice]], vector_bits: int) -> SearchSpace:
    """The search space of just these choices of each layer."""
    one = ("binary",)
    return SearchSpace(shape, SpaceSettings(one, one, one, vector_bits=vector_bits)).offering(choices)


def suitable(shape: NetworkShape, budget: Budget, vector_bits: int = 16) -> tuple[str, ...]:
    """Every kind; banks, which keep too little of a weight without training, only where int2 everywhere is too much."""
    plain = ("composite", *ROUNDED)
    space = offering(shape, [[Integer(2)]] * len(shape.layers), vector_bits)
    least = space.prices.plan_file_bytes(np.zeros(len(shape.layers), int))
    return plain if least <= budget.bytes else (*plain, *(kind for kind in CONVERTED if kind not in plain))


def check_reach(shape: NetworkShape, kinds: Sequence[str], budget: Budget, vector_bits: int = 16) -> None:
    """InfeasibleBudget where the budget is below all that `kinds` offer, as far as shapes tell it; checks the kinds.

    Of composite planes they tell that a weight takes its sign's bit at least.
    """
    for kind in kinds:
        if kind not in CONVERTED:
            raise unknown("kind of conversion", kind, CONVERTED)
    least = [Composite(0, (0,))] if "composite" in kinds else []
    BudgetedSpace(offering(shape, [[*_known(layer, kinds), *least] for layer in shape.layers], vector_bits), budget)


@torch.no_grad()
def candidates(
    network: nn.Module,
    shape: NetworkShape,
    kinds: Sequence[str],
    images: torch.Tensor | None = None,
    vector_bits: int = 16,
    watch: Watch | None = None,
) -> Candidates:
    """Fit every candidate of every layer of a trained `network` and measure what it loses.

    `images` (N, channels, height, width), as the network takes them, calibrate a classifier.
    """
    energies = {} if images is None else channel_energies(network, shape.layers, images)
    found, choices, errors = [], [], []
    for i, layer in enumerate(shape.layers):
        weight = network.get_submodule(layer.name).weight
        if not torch.isfinite(weight).all():
            raise BankwiseError(f"layer {layer.name!r}: a weight is not a finite number; is the training diverged?")
        fits = LayerFits(layer, weight, energies.get(layer.name))
        row = layer_candidates(fits, kinds)
        errors.append(np.array([fits.error(choice) for choice in row]))
        fits.close()
        found.append(fits)
        choices.append(tuple(row))
        if watch is not None:
            watch("fitting", i + 1, len(shape.layers))
    importances = np.ones(len(found)) if images is None else measured(network, shape, found, images, watch)
    return Candidates(shape, tuple(found), tuple(choices), tuple(errors), importances, vector_bits)


def layer_candidates(fits: LayerFits, kinds: Sequence[str]) -> list[Choice]:
    """The choices of a layer: `composite` ones as its weight resolves them, of kinds with many choices a few."""
    return list(dict.fromkeys([*_known(fits.layer, kinds), *(fits.composites() if "composite" in kinds else [])]))


def _known(layer: LayerShape, kinds: Sequence[str]) -> list[Choice]:
    """The candidates of the kinds whose choices do not depend on the weight: all but composite."""
    choices: list[Choice] = []
    settings = SpaceSettings(max_k=MOST_K)
    for kind in kinds:
        if kind != "composite":
            choices += layer_choices(layer, (kind,), settings) if kind in ROUNDED else _few(layer, kind, settings)
    if not choices and "composite" not in kinds:
        raise BankwiseError(f"layer {layer.name!r}: none of {', '.join(kinds)} can pay; allow binary too")
    return choices


def _few(layer: LayerShape, kind: str, settings: SpaceSettings) -> list[Choice]:
    """Up to BANKS choices that no other one beats in bytes and closed-form capture."""
    try:
        offered = layer_choices(layer, (kind,), settings)
    except BankwiseError:  # none can pay
        return []
    offered = [c for c in offered if getattr(c, "k", 1) * layer.weights // getattr(c, "dimension", 1) <= _PROXIES]
    if not offered:
        return []
    costs = np.array([choice_bytes(layer, choice, 16) for choice in offered])
    kept = efficient(costs, np.array([capture(layer, choice) for choice in offered]))
    places = np.linspace(0, len(kept) - 1, min(BANKS, len(kept))).round().astype(int)
    return [offered[kept[place]] for place in places]


def measured(
    network: nn.Module, shape: NetworkShape, fits: Sequence[LayerFits], images: torch.Tensor, watch: Watch | None
) -> np.ndarray:
    """The importance of each layer, (layers,), above 0."""
    macs = sum(layer.weights * layer.positions for layer in shape.layers) * len(fits)
    images = images[: min(len(images), max(8, _OPERATIONS // macs))]
    changed = copy.deepcopy(network).eval()
    log_p = F.log_softmax(changed(images), 1)
    found = []
    for i, fit in enumerate(fits):
        module, choice = changed.get_submodule(fit.layer.name), Integer(4)
        weight = module.weight
        module.weight = nn.Parameter(fit.fit(choice).scaled.reshape(weight.shape), requires_grad=False)
        log_q = F.log_softmax(changed(images), 1)
        module.weight = weight
        divergence = float(F.kl_div(log_q, log_p, reduction="batchmean", log_target=True))
        found.append(divergence / max(fit.error(choice), 1e-12))
        if watch is not None:
            watch("measuring", i + 1, len(fits))
    found = np.maximum(found, 0.0)
    return np.maximum(found, 1e-6 * found.max()) if found.max() > 0 else np.ones(len(found))
