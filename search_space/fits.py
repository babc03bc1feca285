"""Fits of a trained weight by any choice, without training, and the network that is made of them."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from search_space.basis import Binary, Choice, Codes, Composite, Float, Integer
from search_space.basis.composite import Decomposer
from search_space.layer import replace_module
from search_space.shape import LayerShape, NetworkShape

PLANES = range(2, 8)  # the paper's J: three to eight bits a weight, the sign included
BOTTLENECKS = (0.03, 0.1, 0.2, 0.4)
_SAMPLE = 2**19  # weights that an error is measured on; of a larger layer, filters spread evenly


@dataclass(frozen=True)
class Fit:
    """The codes of a choice, the weight that they give (n, c, d_h, d_w), and the scale of each filter (n,) or None."""

    codes: Codes
    weight: torch.Tensor
    scale: torch.Tensor | None

    @property
    def scaled(self) -> torch.Tensor:
        return self.weight if self.scale is None else self.weight * self.scale[:, None, None, None]


class LayerFits:
    """Fits of `weight`. `energy` (n or 1, c, 1, 1) weighs squared errors by the input channel that they meet.

    Composite choices are decomposed per filter or, as in the paper, with one scale for the layer.
    """

    def __init__(
        self, layer: LayerShape, weight: torch.Tensor, energy: torch.Tensor | None = None, per_filter: bool = True
    ):
        self.layer, self.per_filter = layer, per_filter
        self.weight = weight.detach().cpu().float().reshape(layer.weight_shape)
        self.energy = torch.ones(1, 1, 1, 1) if energy is None else energy
        self._steps: dict[Composite, float] = {}
        self._open: Decomposer | None = None
        filters = math.ceil(layer.n * min(1.0, _SAMPLE / layer.weights))
        self._sample = torch.linspace(0, layer.n - 1, filters).long()

    @property
    def _decomposer(self) -> Decomposer:
        self._open = self._open or Decomposer(self.weight, self.per_filter)
        return self._open

    def close(self) -> None:
        """Let go of what only makes further fits faster."""
        self._open = None

    def composites(self) -> list[Composite]:
        """What the weight's planes need at every J and bottleneck, less what takes more bits for a coarser step."""
        every = {self.composite(planes, bottleneck) for planes in PLANES for bottleneck in (0.0, *BOTTLENECKS)}
        kept: list[Composite] = []
        for plain in (True, False):  # steps of the two are in different units
            finest = math.inf
            for choice in sorted(every, key=lambda choice: (choice.rate(self.layer), self._steps[choice])):
                if (choice.ranks == ()) == plain and self._steps[choice] < finest:
                    finest = self._steps[choice]
                    kept.append(choice)
        return kept

    def composite(self, planes: int, bottleneck: float) -> Composite:
        choice, step = self._decomposer.resolve(planes, bottleneck)
        self._steps[choice] = min(step, self._steps.get(choice, step))
        return choice

    def error(self, choice: Choice) -> float:
        """Squared error over squared weight, both weighed, with the best scale of each filter; 0 for a weight of 0."""
        some, energy = self.weight[self._sample], self._energy(self._sample)
        if choice in self._steps:
            some = some.abs()  # signs are kept, so that magnitudes tell the error
            fitted = self._decomposer.sizes(choice, self._steps[choice], self._sample)
        else:
            fitted = self._basis(choice, some)().detach()
        total = float((some.square() * energy).sum())
        rest = some - fitted * _scale(some, fitted, energy)[:, None, None, None]
        return float(rest.square_().mul_(energy).sum()) / total if total else 0.0

    def fit(self, choice: Choice) -> Fit:
        if choice in self._steps:
            codes = self._decomposer.codes(choice, self._steps[choice])
        else:
            codes = self._basis(choice, self.weight).codes()
        weight = choice.weight(self.layer, codes)
        return Fit(codes, weight, _scale(self.weight, weight, self.energy) if choice.scaled else None)

    def _energy(self, filters: torch.Tensor) -> torch.Tensor:
        return self.energy if len(self.energy) == 1 else self.energy[filters]

    def _basis(self, choice: Choice, weight: torch.Tensor) -> nn.Module:
        layer = dataclasses.replace(self.layer, n=len(weight))
        if isinstance(choice, Binary | Integer | Float):
            with torch.device("meta"):  # a random start, only to be written over, takes longer than the fit
                basis = choice.basis(layer)
            basis.latent = nn.Parameter(weight, requires_grad=False)
            return basis
        basis = choice.basis(layer, torch.Generator().manual_seed(0))
        basis.start_from(weight)
        return basis


def _scale(weight: torch.Tensor, fitted: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
    """The least-squares scale of each filter, (n,); 0 for a filter of zeros."""
    weighed = fitted * energy
    squares = (weighed * fitted).sum((1, 2, 3))
    return (weighed * weight).sum((1, 2, 3)) / squares.clamp(min=1e-12)


def with_weights(network: nn.Module, fits: Mapping[str, Fit]) -> nn.Module:
    """A copy of a trained network whose layers have the fitted weights, all else as it was."""
    changed = copy.deepcopy(network)
    for name, fit in fits.items():
        module = changed.get_submodule(name)
        module.weight = nn.Parameter(fit.scaled.reshape(module.weight.shape), requires_grad=False)
    return changed


@torch.no_grad()
def converted(network: nn.Module, shape: NetworkShape, norms: Mapping[str, str], fits: Mapping[str, Fit]) -> nn.Module:
    """A copy of `network` for `search_space.modelfile.pack`: the fits' codes in place of its layers' weights.

    Where a batch norm follows a layer (`norms`: its name by the layer's), the layer's scales and bias go into it.
    """
    child = copy.deepcopy(network)
    for layer in shape.layers:
        fit, bias = fits[layer.name], child.get_submodule(layer.name).bias
        if layer.normalized:
            _fold(child.get_submodule(norms[layer.name]), fit.scale, bias)
            held = _Held(fit.codes, None, None)
        else:
            held = _Held(fit.codes, fit.scale, bias)
        replace_module(child, layer.name, held)
    return child


def _fold(norm: nn.Module, scale: torch.Tensor | None, bias: torch.Tensor | None) -> None:
    """Make `norm` give for x what it gave for scale x + bias."""
    gain = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    shift, gain = shift * gain, gain if scale is None else gain * scale
    if norm.weight is not None:
        shift, gain = shift * norm.weight, gain * norm.weight
    if norm.bias is not None:
        shift = shift + norm.bias
    norm.running_mean, norm.running_var = torch.zeros_like(gain), torch.ones_like(gain)
    norm.eps, norm.affine = 0.0, True
    norm.weight, norm.bias = nn.Parameter(gain), nn.Parameter(shift)


class _Held(nn.Module):
    """What `pack` reads of a layer."""

    def __init__(self, codes: Codes, scale: torch.Tensor | None, bias: torch.Tensor | None):
        super().__init__()
        self.basis, self.scale, self.bias = _Codes(codes), scale, bias


class _Codes(nn.Module):
    def __init__(self, codes: Codes):
        super().__init__()
        self._codes = codes

    def codes(self) -> Codes:
        return self._codes
