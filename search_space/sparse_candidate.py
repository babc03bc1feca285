"""What a sparse choice makes of a layer's latent weight with the supernet's shared bank, and its gradient.

The bank's first k filters, s channels and taps, rounded to b bits in units of their own spread; every slot takes its m
terms greedily; one least-squares scale for all. No bank is fitted: the gradient moves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from search_space.basis import Sparse
from search_space.basis.levels import bank_values, nearest_bank
from search_space.basis.pursuit import combine, first_unit, in_units, pursue, scale
from search_space.basis.stacked import from_slots, to_slots


@dataclass(frozen=True)
class SparseCandidate:
    """`indices` and `values` (slots, m) of the terms; the candidate is `scale` times their combination."""

    choice: Sparse
    indices: torch.Tensor
    values: torch.Tensor
    scale: float

    @staticmethod
    def filters(choice: Sparse, bank: torch.Tensor) -> torch.Tensor:
        """The slice of the shared bank that the choice sees, rounded to its bits: (k, s t_h t_w)."""
        height, width = choice.tile
        seen = bank[: choice.k, : choice.s, :height, :width].reshape(choice.k, -1)
        return bank_values(nearest_bank(in_units(seen, choice.bits), choice.bits), choice.bits).to(bank.dtype)

    @classmethod
    def of(cls, choice: Sparse, latent: torch.Tensor, bank: torch.Tensor) -> SparseCandidate:
        slots, filters = to_slots(latent, choice.s, choice.tile), cls.filters(choice, bank)
        unit = first_unit(slots, filters, choice.coefficient_bits)
        indices, values = pursue(slots, filters, choice.nonzeros, choice.coefficient_bits, unit, sweeps=0)
        return cls(choice, indices, values, scale(slots, combine(filters, indices, values)))

    def weight(self, bank: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """(n, c, d_h, d_w), without the scale."""
        combined = combine(self.filters(self.choice, bank), self.indices, self.values)
        return from_slots(combined, shape, self.choice.s, self.choice.tile)

    def backward(self, gradient: torch.Tensor, share: float, bank: torch.Tensor, to_bank: torch.Tensor) -> float:
        """Add share d<gradient, candidate>/d bank to `to_bank`, straight through the rounding; give that product."""
        k, s, (height, width) = self.choice.k, self.choice.s, self.choice.tile
        slots, filters = to_slots(gradient, s, self.choice.tile), self.filters(self.choice, bank)
        sums = torch.zeros_like(filters)
        for term in range(self.indices.shape[1]):
            sums.index_add_(0, self.indices[:, term], slots * self.values[:, term, None])
        seen = to_bank[:k, :s, :height, :width]
        seen.add_(sums.reshape(seen.shape), alpha=share * self.scale)
        return self.scale * float((sums * filters).sum())
