"""Sparse linear combinations of low-dimensional filters of few bits (Lan, Cheung, Lan, Jiang, Hu, TNNLS 2024,
doi 10.1109/TNNLS.2024.3457943).

As in the stacked family all filters of a layer share a bank of k filters of s channels and t_h x t_w taps, but a bank
weight has b = 1, 2 or 4 bits, and a slot holds a linear combination of m bank filters with coefficients of a bits.
Stored are the bank, b k s t_h t_w bits, and for each of the m terms of every slot an index of ceil(log2 k) bits and the
coefficient's a bits. With b = 1, m = 1 and a = 0 (the coefficient is 1) it is the stacked family.

Worked example: n=64, c=64, 3x3, k=16, s=8, tile 3x3, b=2, m=1, a=1: q = 8, bank 2*16*8*9 = 2304 bits, indices
64*8*4 = 2048 bits, coefficients 64*8 = 512 bits, together 4864 bits for 36,864 weights, 0.132 bits per weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from bankwise.search_space.basis.capture import captured_share
from bankwise.search_space.basis.combination import Chosen, Combine, Quantize
from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.basis.l1_ball import L1Ball
from bankwise.search_space.basis.largest import largest
from bankwise.search_space.basis.levels import bank_values, coefficient_values, nearest_bank, nearest_coefficient
from bankwise.search_space.basis.merge import split_transform_merge
from bankwise.search_space.basis.pursuit import combine, dense, fit_bank, pursue, scale
from bankwise.search_space.basis.slots import from_slots, to_slots
from bankwise.search_space.basis.spread import BANK_SPREAD, FITTED
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.bank import BankChoice, slot_sizes
from bankwise.search_space.families.choice import Choice, Codes, Operations
from bankwise.search_space.families.few_terms import FewTerms, Pursued
from bankwise.search_space.families.in_c import Fields, MergedBank, Packed, Plane
from bankwise.search_space.families.mixer import Mixer
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings

BANK_BITS = (1, 2, 4)
MOST_TERMS, MOST_COEFFICIENT_BITS = 8, 8
# (bank bits, terms a slot, coefficient bits): those that on trained layers captured most at equal bits, best first.
SETTINGS = ((1, 1, 1), (2, 1, 1), (4, 1, 1), (1, 2, 2), (2, 2, 2))
STEP = 1.15  # how much more a choice must capture than any cheaper one


@dataclass(frozen=True)
class Sparse(BankChoice):
    """`bits` of a bank weight, `nonzeros` terms a slot, `coefficient_bits` of each term's coefficient (0: it is 1)."""

    bits: int
    nonzeros: int
    coefficient_bits: int = field(metadata={"least": 0})

    family: ClassVar[str] = "sparse"
    letter: ClassVar[str] = "P"
    summary: ClassVar[str] = "a bank of few-bit filters, few of them a slot with few-bit coefficients"
    mixer: ClassVar[type[Mixer]] = FewTerms

    @classmethod
    def offered(cls, layer: LayerShape, kind: str, settings: SpaceSettings) -> Sequence[Sparse]:
        """Combinations that can pay, for each of SETTINGS.

        k a power of two (1 too: a sign is choice enough) up to `max_k`, the slots and the distinct filters, s a divisor
        of the channels, fewer bits than 2-bit weights; and of those with one setting only choices that capture, in
        closed form, STEP times as much as any cheaper one: the others cannot pay, and these differ in price.
        """
        sizes, kept = list(slot_sizes(layer, settings)), []
        for setting in SETTINGS:
            found = []
            for s, tile in sizes:
                k = 1
                while k <= settings.max_k:
                    choice = cls(k, s, tile, *setting)
                    bits = sum(part.total_bits for part in choice.parts(layer))
                    if bits < 2 * layer.weights and _possible(choice, layer):
                        found.append((bits, -choice.capture(layer), choice))
                    k *= 2
            best = 0.0
            for _, share, choice in sorted(found, key=lambda one: one[:2]):
                if -share >= STEP * best:
                    best = -share
                    kept.append(choice)
        return kept

    def check(self, shape: LayerShape) -> None:
        if self.bits not in BANK_BITS:
            raise BankwiseError(f"bits={self.bits} is not possible for a bank's weights; allowed: 1, 2, 4")
        if not 0 <= self.coefficient_bits <= MOST_COEFFICIENT_BITS:
            raise BankwiseError(
                f"coefficient_bits={self.coefficient_bits} is not possible; allowed: 0 (no coefficient) to "
                f"{MOST_COEFFICIENT_BITS}"
            )
        super().check(shape)
        most = min(self.k - (not self.coefficient_bits), MOST_TERMS)
        if not 1 <= self.nonzeros <= most:
            raise BankwiseError(f"nonzeros={self.nonzeros} cannot pay: allowed are 1 to {most} of {self.k} filters")

    @property
    def least_k(self) -> int:
        return 1 if self.coefficient_bits else 2

    @property
    def distinct_bits(self) -> int:
        """A coefficient has a sign, so a filter and its negative are one."""
        return self.bits * self.dimension - (self.coefficient_bits > 0)

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """Bank b k s t_h t_w bits; m (ceil(log2 k) + a) bits a slot."""
        slots = self.slots(shape)
        terms = (slots, self.nonzeros) if self.nonzeros > 1 else (slots,)
        parts = (
            Part("bank", (self.k, self.dimension), self.bits, paper=True),
            Part("indices", terms, self.index_bits, paper=True),
            Part("coefficients", terms, self.coefficient_bits, paper=True),
        )
        return tuple(part for part in parts if part.bits)

    def rate(self, shape: LayerShape) -> float:
        """The order of the terms says nothing: (log2 of k over m) + m a bits a slot."""
        return (math.log2(math.comb(self.k, self.nonzeros)) + self.nonzeros * self.coefficient_bits) / self.dimension

    def capture(self, shape: LayerShape) -> float:
        return captured_share(self.k, self.dimension, self.bits, self.nonzeros, self.coefficient_bits)

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """By split-transform-merge, as a stacked layer with m terms a slot. A bank of 2 or 4 bits multiplies in the
        transform, coefficients of 2 bits and more in the merge."""
        one = super().operations(shape, run)
        if run == "materialized":
            return one
        merge = self.slots(shape) * shape.positions
        transform = one.additions - merge
        multiplications = transform * (self.bits > 1) + self.nonzeros * merge * (self.coefficient_bits > 1)
        return Operations(multiplications, transform + self.nonzeros * merge, one.map_bytes)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> SparseBasis:
        return SparseBasis(self, shape, generator)

    def inherit(self, basis: SparseBasis, latent: torch.Tensor, bank: torch.Tensor, weight: torch.Tensor) -> None:
        """Bank and coefficients such that `basis()` adds up the terms that the supernet does; the bank is negated where
        the least-squares scale is negative."""
        found, levels = Pursued.of(self, latent, bank), Pursued.filters(self, bank)
        unit = BANK_SPREAD if self.bits == 1 else basis.bank_unit
        basis.bank.copy_((-unit if found.scale < 0 else unit) * levels)
        basis.coefficients.copy_(dense(found.indices, found.values, self.k) * basis.unit)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        bank = bank_values(codes["bank"].reshape(self.k, self.dimension), self.bits)
        terms = (self.slots(shape), self.nonzeros)
        indices = codes["indices"].reshape(terms) if self.k > 1 else torch.zeros(terms, dtype=torch.long)
        values = None
        if self.coefficient_bits:
            values = coefficient_values(codes["coefficients"].reshape(terms), self.coefficient_bits)
        return from_slots(combine(bank, indices, values), shape.weight_shape, self.s, self.tile)

    def c_fields(self, packed: Packed) -> Fields:
        numbers = {"terms": self.nonzeros, "bits": self.bits, "coefficient_bits": self.coefficient_bits}
        coefficients = {"coefficients": packed.at.get("coefficients", packed.at["bank"])}
        return {**super().c_fields(packed), **numbers, **coefficients}

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        """Sums of level times coefficient, whole numbers both."""
        denominator = (2**self.bits - 1) * 2 ** max(self.coefficient_bits - 1, 0)
        return Plane("plane_sparse", self.c_fields(packed), denominator, denominator * self.nonzeros)

    def merged_in_c(self, shape: LayerShape, packed: Packed) -> MergedBank:
        fields = self.c_fields(packed)
        return MergedBank(self.k, self.s, self.tile, fields, self.bits, self.nonzeros, self.coefficient_bits)

    def label(self) -> str:
        return f"{super().label()}, {self.nonzeros}×{self.coefficient_bits} of {self.bits} bit"

    def fields_code(self) -> str:
        """b, m and a, one digit each, then as the stacked family: P211 of k=32, s=4, 3x3 is P21132.4.3x3."""
        return f"{self.bits}{self.nonzeros}{self.coefficient_bits}{self.k}.{self.s}.{self.tile[0]}x{self.tile[1]}"

    @classmethod
    def from_fields_code(cls, text: str) -> Sparse:
        k, s, tile = text[3:].split(".")
        height, width = tile.split("x")
        bits, nonzeros, coefficient_bits = map(int, text[:3])
        return cls(int(k), int(s), (int(height), int(width)), bits, nonzeros, coefficient_bits)


def _possible(choice: Choice, layer: LayerShape) -> bool:
    try:
        choice.check(layer)
    except BankwiseError:
        return False
    return True


RADIUS = 2.0  # of the L1 ball, a term
COEFFICIENT_UNIT = 0.03
BANK_UNIT = {1: 1.0, 2: 0.3, 4: 0.3}


class SparseBasis(Basis):
    """Real-valued bank (k, s t_h t_w) and coefficients (n q, k), trained straight-through.

    Forward: the coefficients are projected onto the L1 ball slot by slot, the m largest of each slot are kept and
    rounded, the bank is rounded, and the terms are added up. So what trains is at every step what the file will hold.
    Where a term has no coefficient (a = 0) only the order counts, which the projection keeps: it is left out, for it
    would do nothing but take the gradient from the smaller ones. Both parameters are in units that make a training step
    a fit share of a level.
    """

    def __init__(self, choice: Sparse, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__()
        self.choice, self.weight_shape = choice, shape.weight_shape
        self.radius, self.unit, self.bank_unit = RADIUS * choice.nonzeros, COEFFICIENT_UNIT, BANK_UNIT[choice.bits]
        self.projects = choice.coefficient_bits > 0
        start = torch.randn(choice.k, choice.dimension, generator=generator)
        self.bank = nn.Parameter(start * self._bank_spread)
        start = torch.randn(choice.slots(shape), choice.k, generator=generator)
        self.coefficients = nn.Parameter(start * self.unit)

    def no_weight_decay(self) -> set[str]:
        """The parameters that have none, as networks of timm say it."""
        return {"bank", "coefficients"}

    @property
    def _bank_spread(self) -> float:
        """Signs are flipped by small steps; more levels are spread over their range."""
        return BANK_SPREAD if self.choice.bits == 1 else 0.6 * self.bank_unit

    def _filters(self) -> torch.Tensor:
        return Quantize.apply(self.bank / self.bank_unit, self.choice.bits)

    def _projected(self) -> torch.Tensor:
        scaled = self.coefficients / self.unit
        return L1Ball.apply(scaled, self.radius) if self.projects else scaled

    @torch.no_grad()
    def _terms(self, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Indices of the largest coefficients and their codes (None: they have none), (n q, m) each.

        The projection keeps the order; where it leaves fewer than m, the order before it decides.
        """
        choice = self.choice
        sizes = self.coefficients.abs() if choice.coefficient_bits else self.coefficients
        indices = largest(sizes)[:, None] if choice.nonzeros == 1 else sizes.topk(choice.nonzeros).indices
        if not choice.coefficient_bits:
            return indices, None
        sizes = projected.gather(1, indices).abs().clamp(min=1e-30)  # so that a dropped one keeps its sign
        signs = self.coefficients.gather(1, indices).sign()
        return indices, nearest_coefficient(sizes * signs, choice.coefficient_bits)

    def _selected(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        projected = self._projected()
        indices, codes = self._terms(projected)
        if codes is not None:
            codes = coefficient_values(codes, self.choice.coefficient_bits).to(projected.dtype)
        return projected, indices, codes

    def forward(self) -> torch.Tensor:
        slots = Combine.apply(self._filters(), *self._selected())
        return from_slots(slots, self.weight_shape, self.choice.s, self.choice.tile)

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor) -> None:
        """Fit to a weight (n, c, d_h, d_w), each of its filters scaled to the same size.

        A coefficient that is not taken starts at what it would be if it were added, cut so that it stays below those
        that are and that the slot stays within the ball.
        """
        choice = self.choice
        size = weight.square().mean((1, 2, 3), keepdim=True).sqrt()
        size = size.clamp(min=1e-6 * float(size.max()) + 1e-30)
        slots = to_slots(weight / size, choice.s, choice.tile)
        importance = to_slots((size / size.mean()).square().expand_as(weight), choice.s, choice.tile)[:, :1]
        bits = (choice.bits, choice.coefficient_bits)
        bank, unit = fit_bank(slots, importance, choice.k, choice.nonzeros, bits, self.bank)
        filters = bank_values(nearest_bank(bank, choice.bits), choice.bits).to(weight)
        indices, values = pursue(slots, filters, choice.nonzeros, choice.coefficient_bits, unit)
        chosen, fitted = dense(indices, values, choice.k), combine(filters, indices, values)
        unit = max(scale(slots, fitted, importance), 1e-12)
        others = (slots - unit * fitted) @ filters.t() / (unit * filters.square().sum(1))
        least = 0.95 * values.abs().amin(1, keepdim=True)
        others = others.clamp(-least, least) * (chosen == 0)
        room = self.radius - chosen.abs().sum(1, keepdim=True)
        others = others * (0.99 * room / others.abs().sum(1, keepdim=True).clamp(min=1e-12)).clamp(0, 1)
        self.bank.copy_(bank * (FITTED * BANK_SPREAD if choice.bits == 1 else self.bank_unit))
        self.coefficients.copy_((chosen + others) * self.unit)

    def codes(self) -> Codes:
        choice = self.choice
        with torch.no_grad():
            indices, coefficients = self._terms(self._projected())
            codes = {"bank": nearest_bank(self.bank / self.bank_unit, choice.bits)}
        single = choice.nonzeros == 1
        if choice.k > 1:
            codes["indices"] = indices[:, 0] if single else indices
        if coefficients is not None:
            codes["coefficients"] = coefficients[:, 0] if single else coefficients
        return codes

    def merge(self, x: torch.Tensor, shape: LayerShape) -> torch.Tensor:
        """The layer's output by split-transform-merge, equal to the convolution by `forward()` to rounding."""
        choice = self.choice
        q = (shape.c // choice.s, *(d // t for d, t in zip(shape.kernel, choice.tile, strict=True)))
        selection = Chosen.apply(*self._selected()).reshape(shape.n, *q, choice.k)
        filters = self._filters().reshape(choice.k, choice.s, *choice.tile)
        return split_transform_merge(x, filters, selection, shape)
