"""Lloyd iterations for a binary codebook (Lloyd 1982, with centres of signs)."""

from __future__ import annotations

import torch

from bankwise.search_space.basis.signs import sign


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
