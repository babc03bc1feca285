"""The trainable real-valued weight behind the families that round each weight by itself."""

from __future__ import annotations

import torch
from torch import nn

from search_space.shape import LayerShape


class LatentWeight(nn.Module):
    """A latent weight (n, c, d_h, d_w), started with variance 1/(c d_h d_w)."""

    def __init__(self, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__()
        fan_in = shape.weights // shape.n
        self.latent = nn.Parameter(torch.randn(shape.weight_shape, generator=generator) * fan_in**-0.5)

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor) -> None:
        self.latent.copy_(weight)
