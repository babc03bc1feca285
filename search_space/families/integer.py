"""b-bit integer weights with one scale a filter, symmetric about zero (2 to 8 bits)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import torch

from bankwise.search_space.basis.gaussian import integer_capture
from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.basis.latent import LatentWeight, holding
from bankwise.search_space.basis.straight import Round
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.choice import Choice, Codes
from bankwise.search_space.families.in_c import Fields, Packed, Plane
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings


@dataclass(frozen=True)
class Integer(Choice):
    """Weights are level / (2^(bits-1) - 1) with levels from -(2^(bits-1) - 1) up; the largest of a filter is 1."""

    bits: int

    family: ClassVar[str] = "integer"
    letter: ClassVar[str] = "I"
    summary: ClassVar[str] = "whole numbers of so many bits, a scale a filter"
    kinds: ClassVar[tuple[str, ...]] = tuple(f"int{bits}" for bits in range(2, 9))

    @classmethod
    def offered(cls, layer: LayerShape, kind: str, settings: SpaceSettings) -> Sequence[Integer]:
        return [cls(int(kind.removeprefix("int")))]

    def check(self, shape: LayerShape) -> None:
        if not 2 <= self.bits <= 8:
            raise BankwiseError(f"bits={self.bits} is not possible for integer weights; allowed: 2 to 8")

    @property
    def levels(self) -> int:
        """The largest level."""
        return (1 << (self.bits - 1)) - 1

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """n c d_h d_w codes of `bits` bits."""
        return (Part("levels", shape.weight_shape, self.bits),)

    def rate(self, shape: LayerShape) -> float:
        return float(self.bits)

    def capture(self, shape: LayerShape) -> float:
        return integer_capture(shape.weights // shape.n, self.levels)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> Basis:
        return IntegerBasis(self, shape, generator)

    def fitted_basis(self, shape: LayerShape, weight: torch.Tensor) -> Basis:
        return holding(partial(IntegerBasis, self), shape, weight)

    def rounded(self, latent: torch.Tensor) -> torch.Tensor:
        largest = latent.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
        return (latent / largest * self.levels).round() * (largest / self.levels)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return codes["levels"].float().sub_(self.levels).div_(self.levels)

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        """The largest code is one above the largest level."""
        fields: Fields = {"bank": packed.at["levels"], "bits": self.bits, "step": 1, "first": -self.levels}
        return Plane("plane_codes", fields, self.levels, self.levels + 1)


class IntegerBasis(LatentWeight):
    """Rounds latent / max|latent of the filter| to the nearest level, straight-through."""

    def __init__(self, choice: Integer, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        self.choice = choice

    def _normalized(self) -> torch.Tensor:
        largest = self.latent.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
        return self.latent / largest

    def forward(self) -> torch.Tensor:
        levels: torch.Tensor = Round.apply(self._normalized(), self.choice.levels)  # type: ignore[no-untyped-call]
        return levels

    @torch.no_grad()
    def codes(self) -> Codes:
        return {"levels": (self._normalized() * self.choice.levels).round().long() + self.choice.levels}
