"""b-bit integer weights with one scale a filter, symmetric about zero (2 to 8 bits)."""

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


@dataclass(frozen=True)
class Integer(Choice):
    """Weights are level / (2^(bits-1) - 1) with levels from -(2^(bits-1) - 1) up; the largest of a filter is 1."""

    bits: int

    family: ClassVar[str] = "integer"

    def check(self, shape: LayerShape) -> None:
        if not 2 <= self.bits <= 8:
            raise BankwiseError(f"bits={self.bits} is not possible for integer weights; allowed: 2 to 8")

    @property
    def levels(self) -> int:
        """The largest level."""
        return 2 ** (self.bits - 1) - 1

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """n c d_h d_w codes of `bits` bits."""
        return (Part("levels", shape.weight_shape, self.bits),)

    def rate(self, shape: LayerShape) -> float:
        return float(self.bits)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> nn.Module:
        return IntegerBasis(self, shape, generator)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return (codes["levels"] - self.levels).float() / self.levels

    def code(self) -> str:
        return f"I{self.bits}"

    @classmethod
    def from_code(cls, text: str) -> Integer:
        return cls(int(text))


class Round(torch.autograd.Function):
    """The nearest multiple of 1/levels, exactly as the file holds it, with the straight-through gradient."""

    @staticmethod
    def forward(ctx, x, levels):
        return (x * levels).round() / levels

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class IntegerBasis(LatentWeight):
    """Rounds latent / max|latent of the filter| to the nearest level, straight-through."""

    def __init__(self, choice: Integer, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        self.choice = choice

    def _normalized(self) -> torch.Tensor:
        largest = self.latent.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
        return self.latent / largest

    def forward(self) -> torch.Tensor:
        return Round.apply(self._normalized(), self.choice.levels)

    @torch.no_grad()
    def codes(self) -> Codes:
        return {"levels": (self._normalized() * self.choice.levels).round().long() + self.choice.levels}
