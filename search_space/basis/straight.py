"""Values rounded as the file holds them, with the gradient going straight through the rounding."""

from __future__ import annotations

from typing import Any

import torch


class Round(torch.autograd.Function):
    """The nearest multiple of 1/levels, exactly as the file holds it, with the straight-through gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, levels: int) -> torch.Tensor:
        return (x * levels).round() / levels

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return gradient, None


class Stored(torch.autograd.Function):
    """Scales as the file holds them, with the straight-through gradient."""

    @staticmethod
    def forward(ctx: Any, scales: torch.Tensor) -> torch.Tensor:
        return scales.half().to(scales.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class Fixed(torch.autograd.Function):
    """Gives `fixed`, with the gradient going straight through to x."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        return fixed

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return gradient, None
