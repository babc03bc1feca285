"""Which bank filter fills a slot: that of the largest of k trained proxies, with the straight-through gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from bankwise.search_space.basis.largest import largest


class Select(torch.autograd.Function):
    """Fill every slot with the bank filter of its largest proxy: (k, d), (slots, k) -> (slots, d).

    The gradient is that of `one_hot(argmax(proxies)) @ bank` with a straight-through one-hot, without building it.
    """

    @staticmethod
    def forward(ctx: Any, bank: torch.Tensor, proxies: torch.Tensor) -> torch.Tensor:
        indices = largest(proxies)
        ctx.save_for_backward(bank, indices)
        return bank.index_select(0, indices)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        bank, indices = ctx.saved_tensors
        to_bank = torch.zeros_like(bank).index_add_(0, indices, gradient)
        return to_bank, gradient @ bank.t()


class OneHot(torch.autograd.Function):
    """one_hot(argmax) of the last dimension with the straight-through gradient."""

    @staticmethod
    def forward(ctx: Any, proxies: torch.Tensor) -> torch.Tensor:
        return F.one_hot(proxies.argmax(-1), proxies.shape[-1]).to(proxies.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient
