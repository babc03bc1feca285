"""The trainable real-valued weight behind the families that round each weight by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.shape import LayerShape


class LatentWeight(Basis):
    """A latent weight (n, c, d_h, d_w), started with variance 1/(c d_h d_w)."""

    def __init__(self, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__()
        fan_in = shape.weights // shape.n
        self.latent = nn.Parameter(torch.randn(shape.weight_shape, generator=generator) * fan_in**-0.5)

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor) -> None:
        self.latent.copy_(weight)


def holding(make: Callable[[LayerShape], LatentWeight], layer: LayerShape, weight: torch.Tensor) -> LatentWeight:
    """The basis that `make` gives, with `weight` as its latent weight: the same as `start_from`, without the random
    start, which would take longer than all else. For bases whose state is the latent weight alone."""
    with torch.device("meta"):
        basis = make(layer)
    basis.latent = nn.Parameter(weight, requires_grad=False)
    return basis
