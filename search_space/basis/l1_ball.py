"""Euclidean projection onto the L1 ball, exact, row by row, with its exact gradient.

Duchi, Shalev-Shwartz, Singer, Chandra: Efficient projections onto the l1-ball for learning in high dimensions, ICML
2008. The nearest point to v with sum |w_i| <= r is w_i = sign(v_i) max(|v_i| - t, 0): t = 0 inside the ball; outside it
t = (sum of the p largest |v_i| - r)/p, p the largest count for which the p-th largest |v_i| exceeds that t.
"""

from __future__ import annotations

from typing import Any

import torch


def threshold(magnitudes: torch.Tensor, radius: float) -> torch.Tensor:
    """t of each row of `magnitudes` (rows, k), all outside the ball: (rows, 1)."""
    falling = magnitudes.sort(1, descending=True).values
    excess = falling.cumsum(1) - radius
    counts = torch.arange(1, magnitudes.shape[1] + 1, device=magnitudes.device, dtype=magnitudes.dtype)
    last = (falling * counts > excess).sum(1, keepdim=True)  # true for the first p counts and no other
    return excess.gather(1, last - 1) / last


class L1Ball(torch.autograd.Function):
    """Rows of v (rows, k) -> their projections onto the L1 ball of `radius`.

    Gradient: inside the ball the identity; outside, with S the non-zero entries of w, what is left of the gradient on
    S after its part along sign(w) is taken away, g_S - sign(w_S) mean(sign(w_S) g_S), and zero off S.
    """

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, radius: float) -> torch.Tensor:
        magnitudes = v.abs()
        outside = (magnitudes.sum(1) > radius).nonzero()[:, 0]
        if not len(outside):
            ctx.save_for_backward(outside, None)
            return v.clone()
        part = magnitudes[outside]
        shrunk = (part - threshold(part, radius)).clamp(min=0) * v[outside].sign()
        ctx.save_for_backward(outside, shrunk.sign())
        return v.index_copy(0, outside, shrunk)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        outside, signs = ctx.saved_tensors
        if signs is None:
            return gradient, None
        part = gradient[outside]
        along = (part * signs).sum(1, keepdim=True) / signs.abs().sum(1, keepdim=True)
        return gradient.index_copy(0, outside, signs.abs() * part - signs * along), None
