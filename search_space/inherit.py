"""A child's layer with the shared weights of the supernet's layer."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bankwise.search_space.layer import GeneratedLayer
from bankwise.search_space.supernet import MixedLayer, MixWeights

LEAST = 1e-12  # against division by 0


@torch.no_grad()
def inherit(mixed: MixedLayer, chosen: int) -> GeneratedLayer:
    """The trainable layer of choice number `chosen`, with its slice of the shared bank and the filters its slots take.

    Its weight is that of the supernet's layer run with this choice alone, but for the scale of each filter where a
    batch norm follows: that norm takes any scale away. A composite choice with planes of capped rank is fitted anew:
    the supernet estimates its step without the ranks over GF(2).
    """
    choice, latent = mixed.choices[chosen], mixed.latent
    layer = GeneratedLayer(mixed.shape, choice, mixed.padding_mode).to(latent)
    alone = F.one_hot(torch.tensor(chosen, device=latent.device), len(mixed.choices)).to(latent.dtype)
    weight: torch.Tensor = MixWeights.apply(latent, mixed.bank, alone, mixed.choices)  # type: ignore[no-untyped-call]
    choice.inherit(layer.basis, latent, mixed.bank, weight)
    if layer.scale is not None:
        largest = layer.basis().abs().amax((1, 2, 3)).clamp(min=LEAST)
        layer.scale.copy_(weight.abs().amax((1, 2, 3)) / largest)
    if layer.bias is not None and mixed.bias is not None:
        layer.bias.copy_(mixed.bias)
    return layer
