"""Kernels replaced by their nearest in a learned binary set, with gradients for both (Wang et al. 2021)."""

from __future__ import annotations

from typing import Any

import torch

from bankwise.search_space.basis.largest import largest


@torch.no_grad()
def nearest(kernels: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Index of the filter (k, 9) nearest to each kernel (n c, 9): all filters are equally long, so the one of largest
    inner product. In full precision even where the layers run in less: what trains is what is stored."""
    with torch.autocast(kernels.device.type, enabled=False):
        return largest(kernels @ filters.t())


class Nearest(torch.autograd.Function):
    """Every kernel replaced by its nearest filter. Gradients: straight through to the kernels, where |w| <= 1, and
    summed over the kernels that took it to each filter."""

    @staticmethod
    def forward(ctx: Any, kernels: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
        indices = nearest(kernels, filters)
        ctx.save_for_backward(kernels, filters, indices)
        return filters.index_select(0, indices)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        kernels, filters, indices = ctx.saved_tensors
        to_filters = torch.zeros_like(filters).index_add_(0, indices, gradient)
        return gradient * (kernels.abs() <= 1), to_filters
