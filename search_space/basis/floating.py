"""Plain floating-point weights: IEEE half (16) or single (32) precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from search_space.basis.choice import Choice, Codes
from search_space.basis.latent import LatentWeight
from search_space.errors import BankwiseError
from search_space.part import Part
from search_space.shape import LayerShape
from search_space.vector import float_codes, float_values


@dataclass(frozen=True)
class Float(Choice):
    bits: int

    family: ClassVar[str] = "float"
    scaled: ClassVar[bool] = False

    def check(self, shape: LayerShape) -> None:
        if self.bits not in (16, 32):
            raise BankwiseError(f"bits={self.bits} is not possible for float weights; allowed: 16, 32")

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """n c d_h d_w numbers of `bits` bits."""
        return (Part("values", shape.weight_shape, self.bits),)

    def rate(self, shape: LayerShape) -> float:
        return float(self.bits)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> nn.Module:
        return FloatBasis(self, shape, generator)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return float_values(codes["values"], self.bits)

    def code(self) -> str:
        return f"F{self.bits}"

    @classmethod
    def from_code(cls, text: str) -> Float:
        return cls(int(text))


class FloatBasis(LatentWeight):
    def __init__(self, choice: Float, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        self.choice = choice

    def forward(self) -> torch.Tensor:
        return self.latent

    def codes(self) -> Codes:
        return {"values": float_codes(self.latent.detach(), self.choice.bits)}
