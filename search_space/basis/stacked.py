"""Stacked low-dimensional binary filters (Lan & Lan, AAAI 2021, arXiv 2010.02778).

All filters of a layer share a bank of k binary filters of s channels and t_h x t_w taps. A filter of c channels and
d_h x d_w taps has q = (c/s)(d_h/t_h)(d_w/t_w) slots; each slot is filled by one bank filter. Stored are the bank
(k s t_h t_w bits) and one index of ceil(log2 k) bits a slot.

Worked example: n=64, c=64, 3x3, k=32, s=8, tile 3x3: q = 8, bank 32*8*9 = 2304 bits, indices 64*8*5 = 2560 bits,
together 4864 bits for 36,864 weights, 0.132 bits per weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from search_space.basis.bank import BankChoice
from search_space.basis.choice import Codes
from search_space.errors import BankwiseError
from search_space.part import Part
from search_space.shape import LayerShape


@dataclass(frozen=True)
class Stacked(BankChoice):
    family: ClassVar[str] = "stacked"

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """Bank k s t_h t_w bits and n q ceil(log2 k) index bits (Lan & Lan 2021, inference analysis)."""
        return (
            Part("bank", (self.k, self.dimension), 1, paper=True),
            Part("indices", (self.slots(shape),), self.index_bits, paper=True),
        )

    def rate(self, shape: LayerShape) -> float:
        return math.log2(self.k) / self.dimension

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> StackedBasis:
        return StackedBasis(self, shape, generator)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        signs = codes["bank"].reshape(self.k, self.dimension).float() * 2 - 1
        return from_slots(signs[codes["indices"]], shape.weight_shape, self.s, self.tile)

    def check_codes(self, codes: Mapping[str, torch.Tensor]) -> None:
        if codes["indices"].max() >= self.k:
            raise BankwiseError(f"damaged: index {codes['indices'].max().item()} of a bank of {self.k} filters")

    def code(self) -> str:
        return f"S{self.k}.{self.s}.{self.tile[0]}x{self.tile[1]}"

    @classmethod
    def from_code(cls, text: str) -> Stacked:
        k, s, tile = text.split(".")
        height, width = tile.split("x")
        return cls(int(k), int(s), (int(height), int(width)))


def to_slots(weight: torch.Tensor, s: int, tile: tuple[int, int]) -> torch.Tensor:
    """(n, c, d_h, d_w) -> (n q, s t_h t_w), slots ordered by filter, channel group, tile row, tile column."""
    n, c, height, width = weight.shape
    split = weight.reshape(n, c // s, s, height // tile[0], tile[0], width // tile[1], tile[1])
    return split.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, s * tile[0] * tile[1])


def from_slots(slots: torch.Tensor, weight_shape: tuple[int, ...], s: int, tile: tuple[int, int]) -> torch.Tensor:
    """The inverse of `to_slots`."""
    n, c, height, width = weight_shape
    split = slots.reshape(n, c // s, height // tile[0], width // tile[1], s, *tile)
    return split.permute(0, 1, 4, 2, 5, 3, 6).reshape(weight_shape)


def sign(x: torch.Tensor) -> torch.Tensor:
    """+1 where x >= 0, else -1 (a zero must have a sign)."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


class Sign(torch.autograd.Function):
    """sign(x) with the straight-through gradient, passed where |x| <= 1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return sign(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class Select(torch.autograd.Function):
    """Fill every slot with the bank filter of its largest proxy: (k, d), (slots, k) -> (slots, d).

    The gradient is that of `one_hot(argmax(proxies)) @ bank` with a straight-through one-hot, without building it.
    """

    @staticmethod
    def forward(ctx, bank, proxies):
        indices = proxies.argmax(1)
        ctx.save_for_backward(bank, indices)
        return bank[indices]

    @staticmethod
    def backward(ctx, gradient):
        bank, indices = ctx.saved_tensors
        to_bank = torch.zeros_like(bank).index_add_(0, indices, gradient)
        return to_bank, gradient @ bank.t()


class OneHot(torch.autograd.Function):
    """one_hot(argmax) of the last dimension with the straight-through gradient."""

    @staticmethod
    def forward(ctx, proxies):
        return F.one_hot(proxies.argmax(-1), proxies.shape[-1]).to(proxies.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class StackedBasis(nn.Module):
    """Real-valued proxies of the bank (k, s t_h t_w) and of the selection (n q, k), trained straight-through."""

    def __init__(self, choice: Stacked, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__()
        self.choice, self.weight_shape = choice, shape.weight_shape
        start = torch.randn(choice.k, choice.dimension, generator=generator)
        self.bank = nn.Parameter(start * BANK_SPREAD)
        self.proxies = nn.Parameter(torch.randn(choice.slots(shape), choice.k, generator=generator) * PROXY_SPREAD)
        self.bank.no_decay = self.proxies.no_decay = True

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
        return {"bank": (self.bank >= 0).long(), "indices": self.proxies.argmax(1)}

    def merge(self, x: torch.Tensor, shape: LayerShape) -> torch.Tensor:
        """The layer's output by split-transform-merge, equal to the convolution by `forward()` to rounding."""
        q = (shape.c // self.choice.s, *(d // t for d, t in zip(shape.kernel, self.choice.tile, strict=True)))
        selection = OneHot.apply(self.proxies).reshape(shape.n, *q, self.choice.k)
        filters = Sign.apply(self.bank).reshape(self.choice.k, self.choice.s, *self.choice.tile)
        return split_transform_merge(x, filters, selection, shape)


BANK_SPREAD = 0.02
PROXY_SPREAD = 0.01
FITTED = 3.0  # times these, what was fitted to a trained weight outlasts the first steps (results/ablations)


def lloyd(slots: torch.Tensor, k: int, start: torch.Tensor, rounds: int = 8) -> torch.Tensor:
    """Real centres (k, d) whose signs are a binary codebook of `slots`: alternate nearest filter and sign of the mean.

    Empty cells take the slots that are served worst, so that no bank filter is wasted.
    """
    centres = slots[torch.linspace(0, len(slots) - 1, k).long()] + 1e-3 * start
    for _ in range(rounds):
        products = slots @ sign(centres).t()
        best, cell = products.max(1)
        count = torch.bincount(cell, minlength=k)
        centres = torch.zeros_like(centres).index_add_(0, cell, slots) / count.clamp(min=1)[:, None]
        empty = (count == 0).nonzero()[:, 0]
        if len(empty):
            worst = (slots.abs().sum(1) - best).topk(len(empty)).indices
            centres[empty] = slots[worst]
    return centres


def split_transform_merge(
    x: torch.Tensor, filters: torch.Tensor, selection: torch.Tensor, shape: LayerShape
) -> torch.Tensor:
    """Split the channels into groups of s, convolve each with the k bank filters, add up the selected maps.

    x (batch, groups c, height, width); filters (k, s, t_h, t_w); selection one-hot
    (n, c/s, d_h/t_h, d_w/t_w, k). Every map is computed once and read at each tile's offset.
    """
    k, s, *tile = filters.shape
    batch, channels = x.shape[:2]
    pad_h, pad_w = shape.padding
    extra_h, extra_w = shape.extra_padding
    padded = F.pad(x, (pad_w, pad_w + extra_w, pad_h, pad_h + extra_h))
    split = padded.reshape(batch * (channels // s), s, *padded.shape[2:])
    maps = F.conv2d(split, filters, dilation=shape.dilation)
    maps = maps.reshape(batch, shape.groups, shape.c // s, k, *maps.shape[2:])
    chosen = selection.reshape(shape.groups, shape.n // shape.groups, *selection.shape[1:])
    height, width = (
        (padded.shape[2 + i] - shape.dilation[i] * (shape.kernel[i] - 1) - 1) // shape.stride[i] + 1 for i in (0, 1)
    )
    out = x.new_zeros(batch, shape.groups, shape.n // shape.groups, height, width)
    for row in range(selection.shape[2]):
        for column in range(selection.shape[3]):
            top, left = row * tile[0] * shape.dilation[0], column * tile[1] * shape.dilation[1]
            window = maps[
                ...,
                top : top + (height - 1) * shape.stride[0] + 1 : shape.stride[0],
                left : left + (width - 1) * shape.stride[1] + 1 : shape.stride[1],
            ]
            out = out + torch.einsum("bgckhw,gfck->bgfhw", window, chosen[:, :, :, row, column])
    return out.reshape(batch, shape.n, height, width)
