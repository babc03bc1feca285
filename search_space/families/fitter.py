"""What a family makes of a trained weight without training it further."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch

from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.families.choice import Choice, Codes


class Fitter:
    """Fits of `weight` (n, c, d_h, d_w) by the choices of one family. A family names its fitter.

    Where `resolves` is true the choices follow from the weight: `choices` gives them, and `cheapest` some that are as
    cheap as any of them could be. `per_filter`: one scale a filter, else one a layer, where the family has that choice.
    """

    resolves: ClassVar[bool] = False

    def __init__(self, layer: LayerShape, weight: torch.Tensor, per_filter: bool = True):
        self.layer, self.weight, self.per_filter = layer, weight, per_filter

    @staticmethod
    def cheapest(layer: LayerShape) -> Sequence[Choice]:
        return ()

    def choices(self) -> list[Choice]:
        return []

    def sampled(self, choice: Choice, filters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """These filters of the weight and their fit, up to a scale for each filter and equal signs of both."""
        some = self.weight[filters]
        return some, choice.fitted_basis(dataclasses.replace(self.layer, n=len(some)), some)().detach()

    def codes(self, choice: Choice) -> Codes:
        return choice.fitted_basis(self.layer, self.weight).codes()

    def close(self) -> None:
        """Free what only makes further fits faster."""
