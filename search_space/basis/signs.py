"""Signs of numbers, with the straight-through gradient (BinaryConnect, Courbariaux et al. 2015)."""

from __future__ import annotations

from typing import Any

import torch


def sign(x: torch.Tensor) -> torch.Tensor:
    """+1 where x >= 0, else -1 (a zero must have a sign)."""
    return (x >= 0).to(x.dtype).mul_(2).sub_(1)


class Sign(torch.autograd.Function):
    """sign(x) with the straight-through gradient, passed where |x| <= 1."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return sign(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        passed: torch.Tensor = gradient * (x.abs() <= 1)
        return passed
