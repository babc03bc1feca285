"""A weight as repeats of one binary tile, each with a scale (Gorbett et al. 2024)."""

from __future__ import annotations

from typing import Any

import torch

from bankwise.search_space.basis.signs import sign

_LEAST = 0.01  # of the mean magnitude: a repeat of scale 0 would not learn


def tile_of(weight: torch.Tensor, p: int) -> torch.Tensor:
    """The signs (N/p,) of the sum of the p parts of a weight of N numbers."""
    return sign(weight.reshape(p, -1).sum(0))


def fitted_scales(weight: torch.Tensor, tile: torch.Tensor) -> torch.Tensor:
    """The least-squares scale of each repeat of the tile, (p,), kept above 0 as a mean |A| is."""
    parts = weight.reshape(-1, len(tile))
    return (parts * tile).mean(1).clamp(min=_LEAST * float(parts.abs().mean()))


def tiled(weight: torch.Tensor, p: int) -> torch.Tensor:
    """A weight as p repeats of its tile, each with its best scale; in the weight's shape."""
    tile = tile_of(weight, p)
    return (tile * fitted_scales(weight, tile)[:, None]).reshape(weight.shape)


class Tile(torch.autograd.Function):
    """The tile (N/p,) of a latent weight of N numbers. The gradient goes straight through the sign, whatever the sum's
    size, to every part."""

    @staticmethod
    def forward(ctx: Any, latent: torch.Tensor, p: int) -> torch.Tensor:
        ctx.shape, ctx.p = latent.shape, p
        return tile_of(latent, p)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return gradient.repeat(ctx.p).reshape(ctx.shape), None
