"""Kernels from a learned set of binary ones (Sub-bit Neural Networks: Wang et al., ICCV 2021, arXiv 2110.09195).

Every 3x3 kernel of the layer is the nearest of 2^tau binary kernels, which are learned. In memory that is the stacked
family with k = 2^tau, s = 1 and the whole kernel: tau bits a kernel and 9 2^tau of the set. What differs is the
training: a latent weight decides which kernel is taken, instead of a learned selection.

Worked example: n=64, c=64, tau=5: 32*9 = 288 bits of kernels and 64*64*5 = 20,480 bits of indices for 36,864 weights,
0.563 bits per weight; the published sizes leave the set out, 5/9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import nn

from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.basis.latent import LatentWeight
from bankwise.search_space.basis.lloyd import lloyd
from bankwise.search_space.basis.nearest import Nearest, nearest
from bankwise.search_space.basis.signs import Sign, sign
from bankwise.search_space.basis.slots import from_slots, to_slots
from bankwise.search_space.basis.spread import KERNEL_SPREAD, spread_to
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.choice import Choice, Codes, Operations
from bankwise.search_space.families.in_c import MergedBank, Packed, Plane
from bankwise.search_space.families.mixer import Mixer
from bankwise.search_space.families.nearest_filters import NearestFilters
from bankwise.search_space.families.stacked import Stacked
from bankwise.search_space.families.uniform_rule import SameNumber, UniformRule
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings

KERNEL = (3, 3)
TAPS = 9


@dataclass(frozen=True)
class Subbit(Choice):
    """`tau` bits a kernel, 1 to 9."""

    tau: int

    family: ClassVar[str] = "subbit"
    letter: ClassVar[str] = "U"
    summary: ClassVar[str] = "3x3 kernels of a learned set of binary ones"
    mixer: ClassVar[type[Mixer]] = NearestFilters
    conversion: ClassVar[Literal["every", "few", "never"]] = "never"
    uniform: ClassVar[UniformRule] = SameNumber("tau")

    @classmethod
    def offered(cls, layer: LayerShape, kind: str, settings: SpaceSettings) -> Sequence[Subbit]:
        """Every tau of at most `max_k` kernels that takes fewer bits than the binary layer; none for other than 3x3."""
        if layer.kernel != KERNEL:
            return []
        most = min(TAPS, settings.max_k.bit_length() - 1, (layer.n * layer.c).bit_length() - 1)
        return [cls(tau) for tau in range(1, most + 1) if TAPS * 2**tau + layer.n * layer.c * tau < layer.weights]

    @property
    def stacked(self) -> Stacked:
        """The same in memory, when it runs, and in a supernet, where every bank takes the nearest filter."""
        return Stacked(2**self.tau, 1, KERNEL)

    @property
    def bank_size(self) -> tuple[int, int]:
        return self.stacked.bank_size

    def check(self, shape: LayerShape) -> None:
        if shape.kernel != KERNEL:
            raise BankwiseError(f"subbit is for kernels of 3x3, the layer's are {shape.kernel[0]}x{shape.kernel[1]}")
        kernels = shape.n * shape.c
        most = min(TAPS, kernels.bit_length() - 1)
        if not 1 <= self.tau <= most:
            raise BankwiseError(f"tau={self.tau} cannot pay: allowed are 1 to {most} for a layer of {kernels} kernels")

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """Bank 9 2^tau bits and n c tau index bits."""
        return self.stacked.parts(shape)

    def rate(self, shape: LayerShape) -> float:
        return self.tau / TAPS

    def capture(self, shape: LayerShape) -> float:
        return self.stacked.capture(shape)

    def operations(self, shape: LayerShape, run: str) -> Operations:
        return self.stacked.operations(shape, run)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> Basis:
        return SubbitBasis(self, shape, generator)

    def inherit(self, basis: SubbitBasis, latent: torch.Tensor, bank: torch.Tensor, weight: torch.Tensor) -> None:
        """Bank and latent weight such that `basis()` has the signs of `weight`; both negated where the least-squares
        scale is negative: a negated filter is nearest to a negated kernel."""
        seen = bank[: self.stacked.k, :1].reshape(self.stacked.k, -1)
        best = (to_slots(latent, 1, KERNEL) @ sign(seen).t()).amax(1)
        direction = -1 if float(best.sum()) < 0 else 1
        basis.bank.copy_((direction * spread_to(seen, KERNEL_SPREAD)).clamp(-1, 1))
        basis.latent.copy_(direction * latent)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.stacked.weight(shape, codes)

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        return self.stacked.in_c(shape, packed)

    def merged_in_c(self, shape: LayerShape, packed: Packed) -> MergedBank:
        return self.stacked.merged_in_c(shape, packed)

    def check_codes(self, codes: Mapping[str, torch.Tensor]) -> None:
        self.stacked.check_codes(codes)


class SubbitBasis(LatentWeight):
    """A latent weight and real-valued proxies of the bank (2^tau, 9), which start as different kernels."""

    def __init__(self, choice: Subbit, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        patterns = torch.randperm(2**TAPS, generator=generator)[: 2**choice.tau]
        signs = 2.0 * ((patterns[:, None] >> torch.arange(TAPS)) & 1) - 1
        sizes = torch.randn(signs.shape, generator=generator).abs()
        self.bank = nn.Parameter((signs * sizes * KERNEL_SPREAD).clamp(-1, 1))

    def no_weight_decay(self) -> set[str]:
        """The parameters that have none, as networks of timm say it."""
        return {"bank"}

    def forward(self) -> torch.Tensor:
        taken = Nearest.apply(to_slots(self.latent, 1, KERNEL), Sign.apply(self.bank))
        return from_slots(taken, self.latent.shape, 1, KERNEL)

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor) -> None:
        """The weight itself, and the bank by binary Lloyd iterations over its kernels."""
        super().start_from(weight)
        means = lloyd(to_slots(weight / (weight.abs().mean() + 1e-12), 1, KERNEL), len(self.bank), self.bank)
        self.bank.copy_((means / (means.abs().mean() + 1e-12) * KERNEL_SPREAD).clamp(-1, 1))

    @torch.no_grad()
    def codes(self) -> Codes:
        indices = nearest(to_slots(self.latent, 1, KERNEL), sign(self.bank))
        return {"bank": (self.bank >= 0).long(), "indices": indices}
