"""How sparse combinations of a few-bit bank take part in a mixture of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bankwise.search_space.basis.levels import bank_values, nearest_bank
from bankwise.search_space.basis.pursuit import combine, first_unit, in_units, pursue, scale
from bankwise.search_space.basis.slots import from_slots, to_slots
from bankwise.search_space.families.mixer import Mixer

if TYPE_CHECKING:
    from bankwise.search_space.families.sparse import Sparse


@dataclass(frozen=True)
class Pursued:
    """A choice in a supernet: `indices` and `values` (slots, m) of its terms; it is `scale` times their combination."""

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
    def of(cls, choice: Sparse, latent: torch.Tensor, bank: torch.Tensor) -> Pursued:
        slots, filters = to_slots(latent, choice.s, choice.tile), cls.filters(choice, bank)
        unit = first_unit(slots, filters, choice.coefficient_bits)
        indices, values = pursue(slots, filters, choice.nonzeros, choice.coefficient_bits, unit, sweeps=0)
        return cls(choice, indices, values, scale(slots, combine(filters, indices, values)))

    def weight(self, bank: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """(n, c, d_h, d_w), without the scale."""
        combined = combine(self.filters(self.choice, bank), self.indices, self.values)
        return from_slots(combined, shape, self.choice.s, self.choice.tile)

    def backward(self, gradient: torch.Tensor, share: float, bank: torch.Tensor, to_bank: torch.Tensor) -> float:
        """Add share d<gradient, weight>/d bank to `to_bank`, straight through the rounding; give that product."""
        k, s, (height, width) = self.choice.k, self.choice.s, self.choice.tile
        slots, filters = to_slots(gradient, s, self.choice.tile), self.filters(self.choice, bank)
        sums = torch.zeros_like(filters)
        for term in range(self.indices.shape[1]):
            sums.index_add_(0, self.indices[:, term], slots * self.values[:, term, None])
        seen = to_bank[:k, :s, :height, :width]
        seen.add_(sums.reshape(seen.shape), alpha=share * self.scale)
        return self.scale * float((sums * filters).sum())


class FewTerms(Mixer):
    """Each slot of the latent weight takes its few terms greedily from the shared bank, rounded to its bits in units of
    its own spread, with one least-squares scale for all slots. No bank is fitted: the gradient moves it."""

    def __init__(self, choices: Mapping[int, Any], shares: Mapping[int, float]):
        super().__init__(choices, shares)
        self.sparse: dict[int, Sparse] = dict(choices)
        self.found: dict[int, Pursued] = {}

    def add(self, mixed: torch.Tensor, latent: torch.Tensor, bank: torch.Tensor) -> None:
        for i, choice in self.sparse.items():
            self.found[i] = found = Pursued.of(choice, latent, bank)
            mixed.add_(found.weight(bank, latent.shape), alpha=self.shares[i] * found.scale)

    def backward(
        self,
        gradient: torch.Tensor,
        latent: torch.Tensor,
        bank: torch.Tensor,
        to_bank: torch.Tensor,
        to_p: torch.Tensor | None,
    ) -> None:
        for i, found in self.found.items():
            along = found.backward(gradient, self.shares[i], bank, to_bank)
            if to_p is not None:
                to_p[i] = along
