"""Kernels from a learned set of binary ones (Sub-bit Neural Networks: Wang et al., ICCV 2021, arXiv 2110.09195).

Every 3x3 kernel of the layer is the nearest of 2^tau binary kernels, which are learned. In memory that is the stacked
family with k = 2^tau, s = 1 and the whole kernel: tau bits a kernel and 9 2^tau of the set. What differs is the
training: a latent weight decides which kernel is taken, instead of a learned selection.

Worked example: n=64, c=64, tau=5: 32*9 = 288 bits of kernels and 64*64*5 = 20,480 bits of indices for 36,864 weights,
0.563 bits per weight; the published sizes leave the set out, 5/9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from search_space.basis.choice import Choice, Codes, Operations
from search_space.basis.latent import LatentWeight
from search_space.basis.stacked import Sign, Stacked, from_slots, lloyd, sign, to_slots
from search_space.errors import BankwiseError
from search_space.part import Part
from search_space.shape import LayerShape

KERNEL = (3, 3)
TAPS = 9
SPREAD = 0.5  # of the bank: its kernels change slowly, as in the published code, since each is taken by many


@dataclass(frozen=True)
class Subbit(Choice):
    """`tau` bits a kernel, 1 to 9."""

    tau: int

    family: ClassVar[str] = "subbit"

    @property
    def stacked(self) -> Stacked:
        """The same in memory and when it runs."""
        return Stacked(2**self.tau, 1, KERNEL)

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

    def operations(self, shape: LayerShape, run: str) -> Operations:
        return self.stacked.operations(shape, run)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> nn.Module:
        return SubbitBasis(self, shape, generator)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.stacked.weight(shape, codes)

    def check_codes(self, codes: Mapping[str, torch.Tensor]) -> None:
        self.stacked.check_codes(codes)

    def code(self) -> str:
        return f"U{self.tau}"

    @classmethod
    def from_code(cls, text: str) -> Subbit:
        return cls(int(text))


@torch.no_grad()
def nearest(kernels: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Index of the filter (k, 9) nearest to each kernel (n c, 9): all filters are equally long, so the one of largest
    inner product. In full precision even where the layers run in less: what trains is what is stored."""
    with torch.autocast(kernels.device.type, enabled=False):
        return (kernels @ filters.t()).argmax(1)


class Nearest(torch.autograd.Function):
    """Every kernel replaced by its nearest filter. Gradients: straight through to the kernels, where |w| <= 1, and
    summed over the kernels that took it to each filter."""

    @staticmethod
    def forward(ctx, kernels, filters):
        indices = nearest(kernels, filters)
        ctx.save_for_backward(kernels, filters, indices)
        return filters[indices]

    @staticmethod
    def backward(ctx, gradient):
        kernels, filters, indices = ctx.saved_tensors
        to_filters = torch.zeros_like(filters).index_add_(0, indices, gradient)
        return gradient * (kernels.abs() <= 1), to_filters


class SubbitBasis(LatentWeight):
    """A latent weight and real-valued proxies of the bank (2^tau, 9), which start as different kernels."""

    def __init__(self, choice: Subbit, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        patterns = torch.randperm(2**TAPS, generator=generator)[: 2**choice.tau]
        signs = 2.0 * ((patterns[:, None] >> torch.arange(TAPS)) & 1) - 1
        sizes = torch.randn(signs.shape, generator=generator).abs()
        self.bank = nn.Parameter((signs * sizes * SPREAD).clamp(-1, 1))
        self.bank.no_decay = True

    def forward(self) -> torch.Tensor:
        taken = Nearest.apply(to_slots(self.latent, 1, KERNEL), Sign.apply(self.bank))
        return from_slots(taken, self.latent.shape, 1, KERNEL)

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor) -> None:
        """The weight itself, and the bank by binary Lloyd iterations over its kernels."""
        super().start_from(weight)
        means = lloyd(to_slots(weight / (weight.abs().mean() + 1e-12), 1, KERNEL), len(self.bank), self.bank)
        self.bank.copy_((means / (means.abs().mean() + 1e-12) * SPREAD).clamp(-1, 1))

    @torch.no_grad()
    def codes(self) -> Codes:
        indices = nearest(to_slots(self.latent, 1, KERNEL), sign(self.bank))
        return {"bank": (self.bank >= 0).long(), "indices": indices}


def subbit_choices(layer: LayerShape, max_k: int) -> list[Subbit]:
    """Every tau of at most `max_k` kernels that takes fewer bits than the binary layer; none for other than 3x3."""
    if layer.kernel != KERNEL:
        return []
    taus = range(1, min(TAPS, max_k.bit_length() - 1, (layer.n * layer.c).bit_length() - 1) + 1)
    return [Subbit(tau) for tau in taus if TAPS * 2**tau + layer.n * layer.c * tau < layer.weights]
