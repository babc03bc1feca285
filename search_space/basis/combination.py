"""Slots as combinations of a few bank filters: what the straight-through gradient sees of rounded banks and terms."""

from __future__ import annotations

from typing import Any

import torch

from bankwise.search_space.basis.levels import bank_values, nearest_bank
from bankwise.search_space.basis.pursuit import combine, dense


class Quantize(torch.autograd.Function):
    """The nearest bank level, with the straight-through gradient, passed where |x| <= 1."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bits: int) -> torch.Tensor:
        ctx.save_for_backward(x)
        return bank_values(nearest_bank(x, bits), bits).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1), None


class Combine(torch.autograd.Function):
    """Slots as combinations of bank filters: (k, d) and the projected coefficients (N, k) -> (N, d).

    What is added up are the terms `indices` with `values`, the coefficients' few-bit form; the gradient goes straight
    through that to all k coefficients, without building them.
    """

    @staticmethod
    def forward(
        ctx: Any, bank: torch.Tensor, coefficients: torch.Tensor, indices: torch.Tensor, values: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.save_for_backward(bank, indices, values)
        return combine(bank, indices, values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        bank, indices, values = ctx.saved_tensors
        to_bank = torch.zeros_like(bank)
        for term in range(indices.shape[1]):
            to_bank.index_add_(0, indices[:, term], gradient if values is None else gradient * values[:, term, None])
        return to_bank, gradient @ bank.t(), None, None


class Chosen(torch.autograd.Function):
    """All k coefficients of a slot, zero but for its terms, with the straight-through gradient."""

    @staticmethod
    def forward(
        ctx: Any, coefficients: torch.Tensor, indices: torch.Tensor, values: torch.Tensor | None
    ) -> torch.Tensor:
        values = torch.ones_like(indices, dtype=coefficients.dtype) if values is None else values
        return dense(indices, values, coefficients.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return gradient, None, None
