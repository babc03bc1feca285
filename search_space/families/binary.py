"""One bit a weight: sign(W) (BWN, Rastegari et al. 2016); the filters' scales live in the batch norm or beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from bankwise.search_space.basis.gaussian import SIGNS
from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.basis.latent import LatentWeight, holding
from bankwise.search_space.basis.signs import Sign, sign
from bankwise.search_space.families.choice import Choice, Codes, Operations, convolution
from bankwise.search_space.families.in_c import Packed, Plane
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape


@dataclass(frozen=True)
class Binary(Choice):
    family: ClassVar[str] = "binary"
    letter: ClassVar[str] = "B"
    summary: ClassVar[str] = "the sign of every weight"

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """n c d_h d_w bits."""
        return (Part("signs", shape.weight_shape, 1, paper=True),)

    def rate(self, shape: LayerShape) -> float:
        return 1.0

    def capture(self, shape: LayerShape) -> float:
        return SIGNS

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """On a device, n c d_h d_w additions per output position and no multiplication."""
        standard = convolution(shape)
        return standard if run == "materialized" else Operations(0, standard.additions)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> Basis:
        return BinaryBasis(shape, generator)

    def fitted_basis(self, shape: LayerShape, weight: torch.Tensor) -> Basis:
        return holding(BinaryBasis, shape, weight)

    def rounded(self, latent: torch.Tensor) -> torch.Tensor:
        return sign(latent) * latent.abs().mean()

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return codes["signs"].float().mul_(2).sub_(1)

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        return Plane("plane_binary", {"bank": packed.at["signs"]})


class BinaryBasis(LatentWeight):
    def forward(self) -> torch.Tensor:
        signs: torch.Tensor = Sign.apply(self.latent)  # type: ignore[no-untyped-call]
        return signs

    def codes(self) -> Codes:
        return {"signs": (self.latent >= 0).long()}
