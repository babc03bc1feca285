"""One bit a weight: sign(W) (BWN, Rastegari et al. 2016); the filters' scales live in the batch norm or beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from search_space.basis.choice import Choice, Codes, Operations, convolution
from search_space.basis.latent import LatentWeight
from search_space.basis.stacked import Sign
from search_space.part import Part
from search_space.shape import LayerShape


@dataclass(frozen=True)
class Binary(Choice):
    family: ClassVar[str] = "binary"

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """n c d_h d_w bits."""
        return (Part("signs", shape.weight_shape, 1, paper=True),)

    def rate(self, shape: LayerShape) -> float:
        return 1.0

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """On a device, n c d_h d_w additions per output position and no multiplication."""
        standard = convolution(shape)
        return standard if run == "materialized" else Operations(0, standard.additions)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> nn.Module:
        return BinaryBasis(shape, generator)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return codes["signs"].float() * 2 - 1

    def code(self) -> str:
        return "B"

    @classmethod
    def from_code(cls, text: str) -> Binary:
        if text:
            raise ValueError(text)
        return cls()


class BinaryBasis(LatentWeight):
    def forward(self) -> torch.Tensor:
        return Sign.apply(self.latent)

    def codes(self) -> Codes:
        return {"signs": (self.latent >= 0).long()}
