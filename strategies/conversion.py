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

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.families import FAMILIES, Choice, Integer, family_of, is_users_own
from bankwise.search_space.fits import Fit, LayerFits
from bankwise.search_space.modules import layer_at
from bankwise.search_space.plan import Plan
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.space import SearchSpace, offered_choices
from bankwise.search_space.targets.file.layout import choice_bytes
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.sensitivity import channel_energies
from bankwise.strategies.solver.dominance import efficient

MOST_K = 64  # filters of a bank
BANKS = 6  # choices tried of a kind that offers many, spread over their bytes
_PROXIES = 2**26  # slots times bank filters beyond which a bank's fit takes too much memory
_OPERATIONS = 10**12  # of the images that importances are measured on, all layers together
OnProgress = Callable[[str, int, int], None]  # what is under way, layers done, layers


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

    def fit(self, plan: Plan, on_progress: OnProgress | None = None) -> dict[str, Fit]:
        """The fits of the plan's choices."""
        found = {}
        for i, fits in enumerate(self.fits):
            found[fits.layer.name] = fits.fit(plan.layers[fits.layer.name])
            fits.close()
            if on_progress is not None:
                on_progress("packing", i + 1, len(self.fits))
        return found


def offering(shape: NetworkShape, choices: Sequence[Sequence[Choice]], vector_bits: int) -> SearchSpace:
    """The search space of just these choices of each layer."""
    one = ("binary",)
    return SearchSpace(shape, SpaceSettings(one, one, one, vector_bits=vector_bits)).offering(choices)


def conversion_kinds(*ways: str) -> tuple[str, ...]:
    """The kinds of the families whose `conversion` is one of `ways`."""
    return tuple(kind for family in FAMILIES if family.conversion in ways for kind in family.kinds)


def suitable(shape: NetworkShape, budget: Budget, vector_bits: int = 16) -> tuple[str, ...]:
    """Every kind; banks, which keep too little of a weight without training, only where int2 everywhere is too much."""
    plain = conversion_kinds("every")
    space = offering(shape, [[Integer(2)]] * len(shape.layers), vector_bits)
    least = space.prices.plan_file_bytes(np.zeros(len(shape.layers), int))
    return plain if least <= budget.bytes else (*plain, *conversion_kinds("few"))


def check_feasible(shape: NetworkShape, kinds: Sequence[str], budget: Budget, vector_bits: int = 16) -> None:
    """What shapes alone can say before anything is fitted.

    Raises:
        BankwiseError: a kind is unknown, or not for conversion.
        InfeasibleBudget: the budget is below all that `kinds` may give.
    """
    known = conversion_kinds("every", "few")
    for kind in kinds:
        if kind not in known and not (is_users_own(kind) and family_of(kind).conversion != "never"):
            raise unknown("kind of conversion", kind, known)
    resolved = [family_of(kind) for kind in kinds if family_of(kind).fitter.resolves]
    rows = [
        [*_known(layer, kinds), *(choice for family in resolved for choice in family.fitter.cheapest(layer))]
        for layer in shape.layers
    ]
    BudgetedSpace(offering(shape, rows, vector_bits), budget)


@torch.no_grad()
def candidates(
    network: nn.Module,
    shape: NetworkShape,
    kinds: Sequence[str],
    images: torch.Tensor | None = None,
    vector_bits: int = 16,
    on_progress: OnProgress | None = None,
) -> Candidates:
    """Fit every candidate of every layer of a trained `network` and measure what it loses.

    `images` (N, channels, height, width), as the network takes them, calibrate a classifier.
    """
    energies = {} if images is None else channel_energies(network, shape.layers, images)
    found, choices, errors = [], [], []
    for i, layer in enumerate(shape.layers):
        weight = layer_at(network, layer.name).weight
        if not torch.isfinite(weight).all():
            raise BankwiseError(f"layer {layer.name!r}: a weight is not a finite number; is the training diverged?")
        fits = LayerFits(layer, weight, energies.get(layer.name))
        row = layer_candidates(fits, kinds)
        errors.append(np.array([fits.error(choice) for choice in row]))
        fits.close()
        found.append(fits)
        choices.append(tuple(row))
        if on_progress is not None:
            on_progress("fitting", i + 1, len(shape.layers))
    importances = np.ones(len(found)) if images is None else measured(network, shape, found, images, on_progress)
    return Candidates(shape, tuple(found), tuple(choices), tuple(errors), importances, vector_bits)


def layer_candidates(fits: LayerFits, kinds: Sequence[str]) -> list[Choice]:
    """The choices of a layer: those that shapes know, then those that the weight resolves, such as composite planes."""
    families = dict.fromkeys(family_of(kind) for kind in kinds)
    resolved = [choice for family in families for choice in fits.fitter(family).choices()]
    return list(dict.fromkeys([*_known(fits.layer, kinds), *resolved]))


def _known(layer: LayerShape, kinds: Sequence[str]) -> list[Choice]:
    """The candidates of the kinds whose choices do not depend on the weight."""
    choices: list[Choice] = []
    settings = SpaceSettings(max_k=MOST_K)
    for kind in kinds:
        family = family_of(kind)
        if not family.fitter.resolves:
            offered = offered_choices(layer, kind, settings)
            choices += offered if family.conversion == "every" else _few(layer, offered)
    if not choices and not any(family_of(kind).fitter.resolves for kind in kinds):
        raise BankwiseError(f"layer {layer.name!r}: none of {', '.join(kinds)} can pay; allow binary too")
    return choices


def _few(layer: LayerShape, offered: Sequence[Choice]) -> list[Choice]:
    """Up to BANKS choices that no other one beats in bytes and closed-form capture."""
    offered = [choice for choice in offered if choice.proxies(layer) <= _PROXIES]
    if not offered:
        return []
    costs = np.array([choice_bytes(layer, choice, 16) for choice in offered])
    kept = efficient(costs, np.array([choice.capture(layer) for choice in offered]))
    places = np.linspace(0, len(kept) - 1, min(BANKS, len(kept))).round().astype(int)
    return [offered[kept[place]] for place in places]


def measured(
    network: nn.Module,
    shape: NetworkShape,
    fits: Sequence[LayerFits],
    images: torch.Tensor,
    on_progress: OnProgress | None,
) -> np.ndarray:
    """The importance of each layer, (layers,), above 0."""
    macs = sum(layer.weights * layer.positions for layer in shape.layers) * len(fits)
    images = images[: min(len(images), max(8, _OPERATIONS // macs))]
    changed = copy.deepcopy(network).eval()
    log_p = F.log_softmax(changed(images), 1)
    found = []
    for i, fit in enumerate(fits):
        module, choice = layer_at(changed, fit.layer.name), Integer(4)
        weight = module.weight
        module.weight = nn.Parameter(fit.fit(choice).scaled.reshape(weight.shape), requires_grad=False)
        log_q = F.log_softmax(changed(images), 1)
        module.weight = weight
        divergence = float(F.kl_div(log_q, log_p, reduction="batchmean", log_target=True))
        found.append(divergence / max(fit.error(choice), 1e-12))
        if on_progress is not None:
            on_progress("measuring", i + 1, len(fits))
    values = np.maximum(found, 0.0)
    return np.maximum(values, 1e-6 * values.max()) if values.max() > 0 else np.ones(len(values))
