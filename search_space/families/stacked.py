"""Stacked low-dimensional binary filters (Lan & Lan, AAAI 2021, arXiv 2010.02778).

All filters of a layer share a bank of k binary filters of s channels and t_h x t_w taps. A filter of c channels and
d_h x d_w taps has q = (c/s)(d_h/t_h)(d_w/t_w) slots; each slot is filled by one bank filter. Stored are the bank
(k s t_h t_w bits) and one index of ceil(log2 k) bits a slot.

Worked example: n=64, c=64, 3x3, k=32, s=8, tile 3x3: q = 8, bank 32*8*9 = 2304 bits, indices 64*8*5 = 2560 bits,
together 4864 bits for 36,864 weights, 0.132 bits per weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from bankwise.search_space.basis.gaussian import signs_capture
from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.basis.largest import largest
from bankwise.search_space.basis.lloyd import lloyd
from bankwise.search_space.basis.merge import split_transform_merge
from bankwise.search_space.basis.selection import OneHot, Select
from bankwise.search_space.basis.signs import Sign, sign
from bankwise.search_space.basis.slots import from_slots, to_slots
from bankwise.search_space.basis.spread import BANK_SPREAD, FITTED, LEAST, PROXY_SPREAD, spread_to
from bankwise.search_space.families.bank import BankChoice, slot_sizes
from bankwise.search_space.families.choice import Codes
from bankwise.search_space.families.in_c import MergedBank, Packed, Plane
from bankwise.search_space.families.mixer import Mixer
from bankwise.search_space.families.nearest_filters import NearestFilters
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings


@dataclass(frozen=True)
class Stacked(BankChoice):
    family: ClassVar[str] = "stacked"
    letter: ClassVar[str] = "S"
    summary: ClassVar[str] = "a bank of binary filters, one of them a slot"
    mixer: ClassVar[type[Mixer]] = NearestFilters

    @classmethod
    def offered(cls, layer: LayerShape, kind: str, settings: SpaceSettings) -> Sequence[Stacked]:
        """Banks that can pay: k a power of two (other k waste index bits) up to the slots and the 2^(s t_h t_w)
        distinct filters, s a divisor of the channels, and fewer bits than the binary layer."""
        choices = []
        for s, tile in slot_sizes(layer, settings):
            dimension = s * tile[0] * tile[1]
            k = 2
            while k <= min(settings.max_k, 2 ** min(dimension, 62), layer.weights // dimension):
                choice = cls(k, s, tile)
                if sum(part.total_bits for part in choice.parts(layer)) < layer.weights:
                    choices.append(choice)
                k *= 2
        return choices

    @property
    def stacked(self) -> Stacked:
        return self

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """Bank k s t_h t_w bits and n q ceil(log2 k) index bits (Lan & Lan 2021, inference analysis)."""
        return (
            Part("bank", (self.k, self.dimension), 1, paper=True),
            Part("indices", (self.slots(shape),), self.index_bits, paper=True),
        )

    def rate(self, shape: LayerShape) -> float:
        return math.log2(self.k) / self.dimension

    def capture(self, shape: LayerShape) -> float:
        return signs_capture(self.k, self.dimension)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> StackedBasis:
        return StackedBasis(self, shape, generator)

    def inherit(self, basis: StackedBasis, latent: torch.Tensor, bank: torch.Tensor, weight: torch.Tensor) -> None:
        """Bank and proxies such that `basis()` has the signs of `weight`; both at the spread of a fresh layer."""
        height, width = self.tile
        seen = bank[: self.k, : self.s, :height, :width].reshape(self.k, -1)
        filters = sign(seen)
        matches = to_slots(sign(weight), self.s, self.tile) @ filters.t()
        # Where the least-squares scale is negative the slots are the negated filters, and the basis's bank is negated.
        direction = 1 if bool((matches.amax(1) == self.dimension).all()) else -1
        taken = (direction * matches).argmax(1, keepdim=True)
        basis.bank.copy_(direction * spread_to(seen, BANK_SPREAD))
        products = to_slots(latent, self.s, self.tile) @ filters.t()
        proxies = products / products.std().clamp(min=LEAST) * PROXY_SPREAD
        above = torch.nextafter(proxies.amax(1, keepdim=True), torch.full_like(proxies[:, :1], torch.inf))
        basis.proxies.copy_(proxies.scatter(1, taken, above))

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        signs = codes["bank"].reshape(self.k, self.dimension).float() * 2 - 1
        return from_slots(signs[codes["indices"]], shape.weight_shape, self.s, self.tile)

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        return Plane("plane_stacked", self.c_fields(packed))

    def merged_in_c(self, shape: LayerShape, packed: Packed) -> MergedBank:
        return MergedBank(self.k, self.s, self.tile, self.c_fields(packed))


class StackedBasis(Basis):
    """Real-valued proxies of the bank (k, s t_h t_w) and of the selection (n q, k), trained straight-through."""

    def __init__(self, choice: Stacked, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__()
        self.choice, self.weight_shape = choice, shape.weight_shape
        start = torch.randn(choice.k, choice.dimension, generator=generator)
        self.bank = nn.Parameter(start * BANK_SPREAD)
        self.proxies = nn.Parameter(torch.randn(choice.slots(shape), choice.k, generator=generator) * PROXY_SPREAD)

    def no_weight_decay(self) -> set[str]:
        """The parameters that have none, as networks of timm say it."""
        return {"bank", "proxies"}

    def forward(self) -> torch.Tensor:
        slots = Select.apply(Sign.apply(self.bank), self.proxies)
        return from_slots(slots, self.weight_shape, self.choice.s, self.choice.tile)

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor) -> None:
        """Fit to a weight (n, c, d_h, d_w): the bank by binary Lloyd iterations, the proxies by its inner products."""
        slots = to_slots(weight / (weight.abs().mean() + 1e-12), self.choice.s, self.choice.tile)
        means = lloyd(slots, self.choice.k, self.bank)
        self.bank.copy_(means / (means.abs().mean() + 1e-12) * FITTED * BANK_SPREAD)
        products = slots @ sign(self.bank).t()
        self.proxies.copy_(products / (products.std() + 1e-12) * FITTED * PROXY_SPREAD)

    def codes(self) -> Codes:
        return {"bank": (self.bank >= 0).long(), "indices": largest(self.proxies)}

    def merge(self, x: torch.Tensor, shape: LayerShape) -> torch.Tensor:
        """The layer's output by split-transform-merge, equal to the convolution by `forward()` to rounding."""
        q = (shape.c // self.choice.s, *(d // t for d, t in zip(shape.kernel, self.choice.tile, strict=True)))
        selection = OneHot.apply(self.proxies).reshape(shape.n, *q, self.choice.k)
        filters = Sign.apply(self.bank).reshape(self.choice.k, self.choice.s, *self.choice.tile)
        return split_transform_merge(x, filters, selection, shape)
