"""Fits of a trained weight by any choice, without training, and the network that is made of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from bankwise.search_space.families import Choice, Codes
from bankwise.search_space.families.fitter import Fitter
from bankwise.search_space.layer import replace_module
from bankwise.search_space.modules import Norm, layer_at, norm_at
from bankwise.search_space.norms import folded_norm
from bankwise.search_space.shape import LayerShape, NetworkShape

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

    `per_filter`: families that scale as a whole what they fit do so filter by filter; else, as in the paper of
    composite planes, layer by layer.
    """

    def __init__(
        self, layer: LayerShape, weight: torch.Tensor, energy: torch.Tensor | None = None, per_filter: bool = True
    ):
        self.layer, self.per_filter = layer, per_filter
        self.weight = weight.detach().cpu().float().reshape(layer.weight_shape)
        self.energy = torch.ones(1, 1, 1, 1) if energy is None else energy
        self._fitters: dict[type[Choice], Fitter] = {}
        filters = math.ceil(layer.n * min(1.0, _SAMPLE / layer.weights))
        self._sample = torch.linspace(0, layer.n - 1, filters).long()

    def fitter(self, family: type[Choice]) -> Fitter:
        """What fits the choices of the family to the weight."""
        if family not in self._fitters:
            self._fitters[family] = family.fitter(self.layer, self.weight, self.per_filter)
        return self._fitters[family]

    def close(self) -> None:
        """Free what only makes further fits faster."""
        for fitter in self._fitters.values():
            fitter.close()

    def error(self, choice: Choice) -> float:
        """Squared error over squared weight, both weighed, with the best scale of each filter; 0 for a weight of 0."""
        some, fitted = self.fitter(type(choice)).sampled(choice, self._sample)
        energy = self.energy if len(self.energy) == 1 else self.energy[self._sample]
        total = float((some.square() * energy).sum())
        rest = some - fitted * _scale(some, fitted, energy)[:, None, None, None]
        return float(rest.square_().mul_(energy).sum()) / total if total else 0.0

    def fit(self, choice: Choice) -> Fit:
        """The choice fitted to the whole weight."""
        codes = self.fitter(type(choice)).codes(choice)
        weight = choice.weight(self.layer, codes)
        return Fit(codes, weight, _scale(self.weight, weight, self.energy) if choice.scaled else None)


def _scale(weight: torch.Tensor, fitted: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
    """The least-squares scale of each filter, (n,); 0 for a filter of zeros."""
    weighed = fitted * energy
    squares = (weighed * fitted).sum((1, 2, 3))
    return (weighed * weight).sum((1, 2, 3)) / squares.clamp(min=torch.finfo(squares.dtype).tiny)


def with_weights(network: nn.Module, fits: Mapping[str, Fit]) -> nn.Module:
    """A copy of a trained network whose layers have the fitted weights, all else as it was."""
    changed = copy.deepcopy(network)
    for name, fit in fits.items():
        module = layer_at(changed, name)
        module.weight = nn.Parameter(fit.scaled.reshape(module.weight.shape), requires_grad=False)
    return changed


@torch.no_grad()
def converted(network: nn.Module, shape: NetworkShape, fits: Mapping[str, Fit]) -> nn.Module:
    """A copy of `network` for `bankwise.search_space.packing.pack`: the fits' codes in place of its layers' weights.

    Where a batch norm follows a layer, the layer's scales and bias go into it.
    """
    child = copy.deepcopy(network)
    for layer in shape.layers:
        fit, bias = fits[layer.name], layer_at(child, layer.name).bias
        if layer.norm:
            _fold(norm_at(child, layer.norm), fit.scale, bias)
            fitted = _FittedLayer(fit.codes, None, None)
        else:
            fitted = _FittedLayer(fit.codes, fit.scale, bias)
        replace_module(child, layer.name, fitted)
    return child


def _fold(norm: Norm, scale: torch.Tensor | None, bias: torch.Tensor | None) -> None:
    """Make `norm` give for x what it gave for scale x + bias."""
    gain, shift = folded_norm(norm)
    shift = shift if bias is None else shift + bias * gain
    gain = gain if scale is None else gain * scale
    norm.running_mean, norm.running_var = torch.zeros_like(gain), torch.ones_like(gain)
    norm.eps, norm.affine = 0.0, True
    norm.weight, norm.bias = nn.Parameter(gain), nn.Parameter(shift)


class _FittedLayer(nn.Module):
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
