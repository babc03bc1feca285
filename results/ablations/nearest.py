"""The other way to train a selection: a latent weight whose slots take the nearest filter of the bank."""

from __future__ import annotations

import torch
from torch import nn

from bankwise.search_space.basis.signs import Sign, sign
from bankwise.search_space.basis.slots import from_slots, to_slots
from bankwise.search_space.families import Codes
from bankwise.search_space.families.stacked import StackedBasis


class Nearest(torch.autograd.Function):
    """(k, d) bank of signs and (slots, d) latent slots to the bank filter nearest to each, straight-through."""

    @staticmethod
    def forward(ctx, bank, slots):
        indices = (slots @ bank.t()).argmax(1)
        ctx.save_for_backward(bank, slots, indices)
        return bank[indices]

    @staticmethod
    def backward(ctx, gradient):
        bank, slots, indices = ctx.saved_tensors
        return torch.zeros_like(bank).index_add_(0, indices, gradient), gradient * (slots.abs() <= 1)


class NearestBasis(nn.Module):
    """In place of `learned`, whose bank it takes over; `weight` (n, c, d_h, d_w) is where the latent weight starts."""

    def __init__(self, learned: StackedBasis, weight: torch.Tensor):
        super().__init__()
        self.choice, self.weight_shape = learned.choice, learned.weight_shape
        self.bank = learned.bank
        self.latent = nn.Parameter(to_slots(weight.detach().reshape(self.weight_shape), *self._cut).clone())

    @property
    def _cut(self) -> tuple[int, tuple[int, int]]:
        return self.choice.s, self.choice.tile

    def forward(self) -> torch.Tensor:
        return from_slots(Nearest.apply(Sign.apply(self.bank), self.latent), self.weight_shape, *self._cut)

    @torch.no_grad()
    def codes(self) -> Codes:
        return {"bank": (self.bank >= 0).long(), "indices": (self.latent @ sign(self.bank).t()).argmax(1)}
