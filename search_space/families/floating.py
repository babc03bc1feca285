"""Plain floating-point weights: IEEE half (16) or single (32) precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from bankwise.search_space.basis.gaussian import bits_capture
from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.basis.latent import LatentWeight, holding
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.choice import Choice, Codes
from bankwise.search_space.families.in_c import Packed, Plane
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.vector import float_codes, float_values

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings


@dataclass(frozen=True)
class Float(Choice):
    bits: int

    family: ClassVar[str] = "float"
    letter: ClassVar[str] = "F"
    summary: ClassVar[str] = "floating point of half or single precision"
    kinds: ClassVar[tuple[str, ...]] = ("float16", "float32")
    scaled: ClassVar[bool] = False
    conversion: ClassVar[Literal["every", "few", "never"]] = "never"

    @classmethod
    def offered(cls, layer: LayerShape, kind: str, settings: SpaceSettings) -> Sequence[Float]:
        return [cls(int(kind.removeprefix("float")))]

    def check(self, shape: LayerShape) -> None:
        if self.bits not in (16, 32):
            raise BankwiseError(f"bits={self.bits} is not possible for float weights; allowed: 16, 32")

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """n c d_h d_w numbers of `bits` bits."""
        return (Part("values", shape.weight_shape, self.bits, real=True),)

    def rate(self, shape: LayerShape) -> float:
        return float(self.bits)

    def capture(self, shape: LayerShape) -> float:
        return bits_capture(self.bits)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> Basis:
        return FloatBasis(self, shape, generator)

    def fitted_basis(self, shape: LayerShape, weight: torch.Tensor) -> Basis:
        return holding(partial(FloatBasis, self), shape, weight)

    def rounded(self, latent: torch.Tensor) -> torch.Tensor:
        return latent

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return float_values(codes["values"], self.bits)

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        return Plane(f"plane_float{self.bits}", {"bank": packed.at["values"]}, largest=None)


class FloatBasis(LatentWeight):
    def __init__(self, choice: Float, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        self.choice = choice

    def forward(self) -> torch.Tensor:
        return self.latent

    def codes(self) -> Codes:
        return {"values": float_codes(self.latent.detach(), self.choice.bits)}
