"""What generates a layer's weight while it trains."""

from __future__ import annotations

import torch
from torch import nn


class Basis(nn.Module):
    """A trainable generator of a weight: called without arguments it gives (n, c, d_h, d_w).

    One that can run split-transform-merge also has `merge(maps, shape)`: the layer's output, before scale and bias.
    """

    def forward(self) -> torch.Tensor:
        raise NotImplementedError

    def __call__(self) -> torch.Tensor:
        """The weight; typed, as torch's own is not."""
        weight: torch.Tensor = super().__call__()
        return weight

    def codes(self) -> dict[str, torch.Tensor]:
        """The contents of the choice's parts: int64, each of its part's shape."""
        raise NotImplementedError

    def start_from(self, weight: torch.Tensor) -> None:
        """Fit the basis to a given weight (n, c, d_h, d_w)."""
        raise NotImplementedError
