"""One binary tile, repeated (Tiled Bit Networks: Gorbett, Shirazi, Ray 2024, arXiv 2407.12075).

The N weights of a layer, in their order in memory, are p repeats of one tile of N/p signs. Each repeat has a scale of
its own, since a repeat need not begin where a filter does. There are no indices: N/p bits and p scales.

There are two latent weights W and A. The tile is the sign of the sum of the p parts of W, straight-through; the scale
of a repeat is the mean |A| of its part. By the chain rule every part of W has the gradient of the tile, which is the
sum over its repeats. The published code hands each part that of its own repeat alone: the same for the sum under SGD,
but for the learning rate; under Adam it trains worse, so it is not done here.

Worked example: n=64, c=64, 3x3, p=8: 4608 bits of signs and 8 scales, as the paper counts them 4608 + 256 = 4864 bits
for 36,864 weights, 0.132 bits per weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from search_space.basis.choice import Choice, Codes, Operations, convolution
from search_space.basis.latent import LatentWeight
from search_space.basis.stacked import sign
from search_space.errors import BankwiseError
from search_space.part import Part
from search_space.shape import LayerShape
from search_space.vector import float_codes, float_values

SCALE_BITS = 16  # in the file
PAPER_SCALE_BITS = 32
_LEAST = 0.01  # of the mean magnitude: a repeat of scale 0 would not learn


@dataclass(frozen=True)
class Tiled(Choice):
    """`p` repeats; p = 1 is a binary layer with one scale."""

    p: int

    family: ClassVar[str] = "tiled"
    scaled: ClassVar[bool] = False

    def check(self, shape: LayerShape) -> None:
        if self.p < 1 or shape.weights % self.p:
            near = [p for p in (self._next(shape, -1), self._next(shape, 1)) if p]
            raise BankwiseError(
                f"p={self.p} does not divide the layer's {shape.weights} weights; nearest that do: "
                + ", ".join(map(str, near))
            )

    def _next(self, shape: LayerShape, step: int) -> int:
        """The nearest number of repeats below (-1) or above (1), 0 where there is none."""
        places = range(min(self.p, shape.weights), 0, -1) if step < 0 else range(max(self.p, 1), shape.weights + 1)
        return next((p for p in places if shape.weights % p == 0), 0)

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """N/p bits of signs and p scales in half precision."""
        return (
            Part("signs", (shape.weights // self.p,), 1, paper=True),
            Part("scales", (self.p,), SCALE_BITS, paper=True),
        )

    def paper_bits(self, shape: LayerShape) -> int:
        """N/p + 32 p: the paper keeps its scales in single precision."""
        return shape.weights // self.p + PAPER_SCALE_BITS * self.p

    def rate(self, shape: LayerShape) -> float:
        return 1 / self.p

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """On a device n c d_h d_w additions per output position, and a multiplication for each piece of a filter in one
        repeat: n + p - gcd(n, p) of them, none where the repeats are whole filters (the norm has their scale)."""
        standard = convolution(shape)
        if run == "materialized":
            return standard
        pieces = shape.n + self.p - math.gcd(shape.n, self.p)
        return Operations(pieces * shape.positions if shape.n % self.p else 0, standard.additions)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> nn.Module:
        return TiledBasis(self, shape, generator)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        tile, scales = codes["signs"].float() * 2 - 1, float_values(codes["scales"], SCALE_BITS)
        return (tile * scales[:, None]).reshape(shape.weight_shape)

    def code(self) -> str:
        return f"T{self.p}"

    @classmethod
    def from_code(cls, text: str) -> Tiled:
        return cls(int(text))


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
    def forward(ctx, latent, p):
        ctx.shape, ctx.p = latent.shape, p
        return tile_of(latent, p)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.repeat(ctx.p).reshape(ctx.shape), None


class Stored(torch.autograd.Function):
    """Scales as the file holds them, with the straight-through gradient."""

    @staticmethod
    def forward(ctx, scales):
        return scales.half().to(scales.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class TiledBasis(LatentWeight):
    """Latent weights W (`latent`) and A (`sizes`), both (n, c, d_h, d_w)."""

    def __init__(self, choice: Tiled, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        self.p, fan_in = choice.p, shape.weights // shape.n
        self.sizes = nn.Parameter(torch.randn(shape.weight_shape, generator=generator) * fan_in**-0.5)
        self.sizes.no_decay = True

    def _scales(self) -> torch.Tensor:
        return Stored.apply(self.sizes.abs().reshape(self.p, -1).mean(1))

    def forward(self) -> torch.Tensor:
        return (Tile.apply(self.latent, self.p) * self._scales()[:, None]).reshape(self.latent.shape)

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor) -> None:
        super().start_from(weight)
        scales = fitted_scales(weight, tile_of(weight, self.p))
        self.sizes.copy_(scales[:, None].expand(-1, weight.numel() // self.p).reshape(weight.shape))

    @torch.no_grad()
    def codes(self) -> Codes:
        return {
            "signs": (tile_of(self.latent, self.p) > 0).long(),
            "scales": float_codes(self._scales(), SCALE_BITS),
        }


def tiled_choices(layer: LayerShape) -> list[Tiled]:
    """Every p that divides the layer's N weights, up to where the scales take as much as a longer tile saves."""
    most = max(1, math.isqrt(layer.weights // SCALE_BITS))
    return [Tiled(p) for p in range(1, most + 1) if layer.weights % p == 0]
