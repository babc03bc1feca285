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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import nn

from bankwise.search_space.basis.gaussian import SIGNS
from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.basis.latent import LatentWeight
from bankwise.search_space.basis.straight import Stored
from bankwise.search_space.basis.tile import Tile, fitted_scales, tile_of, tiled
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.choice import Choice, Codes, Operations, convolution
from bankwise.search_space.families.in_c import Packed, Plane
from bankwise.search_space.families.uniform_rule import SameNumber, UniformRule
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.vector import float_codes, float_values

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings

SCALE_BITS = 16  # in the file
PAPER_SCALE_BITS = 32


@dataclass(frozen=True)
class Tiled(Choice):
    """`p` repeats; p = 1 is a binary layer with one scale."""

    p: int

    family: ClassVar[str] = "tiled"
    letter: ClassVar[str] = "T"
    summary: ClassVar[str] = "one tile of signs, repeated, a scale a repeat"
    scaled: ClassVar[bool] = False
    conversion: ClassVar[Literal["every", "few", "never"]] = "never"
    uniform: ClassVar[UniformRule] = SameNumber("p")

    @classmethod
    def offered(cls, layer: LayerShape, kind: str, settings: SpaceSettings) -> Sequence[Tiled]:
        """Every p that divides the layer's N weights, up to where the scales take as much as a longer tile saves."""
        most = max(1, math.isqrt(layer.weights // SCALE_BITS))
        return [cls(p) for p in range(1, most + 1) if layer.weights % p == 0]

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
            Part("scales", (self.p,), SCALE_BITS, paper=True, real=True),
        )

    def paper_bits(self, shape: LayerShape) -> int:
        """N/p + 32 p: the paper keeps its scales in single precision."""
        return shape.weights // self.p + PAPER_SCALE_BITS * self.p

    def rate(self, shape: LayerShape) -> float:
        return 1 / self.p

    def capture(self, shape: LayerShape) -> float:
        return SIGNS / self.p

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """On a device n c d_h d_w additions per output position, and a multiplication for each piece of a filter in one
        repeat: n + p - gcd(n, p) of them, none where the repeats are whole filters (the norm has their scale)."""
        standard = convolution(shape)
        if run == "materialized":
            return standard
        pieces = shape.n + self.p - math.gcd(shape.n, self.p)
        return Operations(pieces * shape.positions if shape.n % self.p else 0, standard.additions)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> Basis:
        return TiledBasis(self, shape, generator)

    def rounded(self, latent: torch.Tensor) -> torch.Tensor:
        return tiled(latent, self.p)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        tile, scales = codes["signs"].float() * 2 - 1, float_values(codes["scales"], SCALE_BITS)
        return (tile * scales[:, None]).reshape(shape.weight_shape)

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        """The tile has k signs."""
        fields = {"bank": packed.at["signs"], "coefficients": packed.at["scales"], "k": shape.weights // self.p}
        return Plane("plane_tiled", fields, largest=None)


class TiledBasis(LatentWeight):
    """Latent weights W (`latent`) and A (`sizes`), both (n, c, d_h, d_w)."""

    def __init__(self, choice: Tiled, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        self.p, fan_in = choice.p, shape.weights // shape.n
        self.sizes = nn.Parameter(torch.randn(shape.weight_shape, generator=generator) * fan_in**-0.5)

    def no_weight_decay(self) -> set[str]:
        """The parameters that have none, as networks of timm say it."""
        return {"sizes"}

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
