"""How banks of binary filters take part in a mixture of weights: each slot as its nearest filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from bankwise.search_space.basis.largest import largest
from bankwise.search_space.basis.signs import sign
from bankwise.search_space.basis.slots import from_slots, to_slots
from bankwise.search_space.families.mixer import Mixer

if TYPE_CHECKING:
    from bankwise.search_space.families.stacked import Stacked

_CHUNK = 2**19  # products at a time, elements: 2 MB stay in the cache


class NearestFilters(Mixer):
    """Each slot of the latent weight takes the filter nearest to it of the signs of the shared bank, with one
    least-squares scale for all slots. For every choice that is in a supernet as its `stacked` says.

    Choices of one (s, tile) differ in k alone: they share their slots and one product with the bank.
    """

    def __init__(self, choices: Mapping[int, Any], shares: Mapping[int, float]):
        super().__init__(choices, shares)
        self.banks: dict[int, Stacked] = {i: choice.stacked for i, choice in choices.items()}
        self.groups: dict[tuple[int, tuple[int, int]], list[int]] = {}
        for i, choice in self.banks.items():
            self.groups.setdefault((choice.s, choice.tile), []).append(i)
        self.indices: dict[int, torch.Tensor] = {}
        self.scales: dict[int, float] = {}
        self.filters: dict[tuple[int, tuple[int, int]], torch.Tensor] = {}

    def add(self, mixed: torch.Tensor, latent: torch.Tensor, bank: torch.Tensor) -> None:
        signs = sign(bank)
        for (s, tile), group in self.groups.items():
            self.filters[s, tile] = filters = self._filters(signs, group)
            found = _nearest(to_slots(latent, s, tile), filters, [self.banks[i].k for i in group])
            filled = latent.new_zeros(len(found[0][0]), filters.shape[1])
            for i, (index, scale) in zip(group, found, strict=True):
                self.indices[i], self.scales[i] = index, scale
                filled.add_(filters.index_select(0, index), alpha=self.shares[i] * scale)
            mixed.add_(from_slots(filled, latent.shape, s, tile))

    def backward(
        self,
        gradient: torch.Tensor,
        latent: torch.Tensor,
        bank: torch.Tensor,
        to_bank: torch.Tensor,
        to_p: torch.Tensor | None,
    ) -> None:
        for (s, tile), group in self.groups.items():
            filters, slots = self.filters[s, tile], to_slots(gradient, s, tile)
            for i in group:
                k, scale = self.banks[i].k, self.scales[i]
                sums = _sums(slots, self.indices[i], k)
                seen = to_bank[:k, :s, : tile[0], : tile[1]]
                seen.add_(sums.reshape(seen.shape), alpha=self.shares[i] * scale)
                if to_p is not None:
                    to_p[i] = scale * (sums * filters[:k]).sum()

    def _filters(self, signs: torch.Tensor, group: list[int]) -> torch.Tensor:
        """The slice of the shared bank's signs that the group's largest choice sees, (k, s t_h t_w)."""
        widest = max((self.banks[i] for i in group), key=lambda choice: choice.k)
        height, width = widest.tile
        return signs[: widest.k, : widest.s, :height, :width].reshape(widest.k, -1)


def _nearest(slots: torch.Tensor, filters: torch.Tensor, ks: list[int]) -> list[tuple[torch.Tensor, float]]:
    """For each k: the filter of largest inner product among the first k, (slots,), and the least-squares scale."""
    steps = sorted(set(ks))
    found = {k: torch.empty(len(slots), dtype=torch.long, device=slots.device) for k in steps}
    totals = dict.fromkeys(steps, 0.0)
    rows = max(1, _CHUNK // len(filters))
    for start in range(0, len(slots), rows):
        products = (slots[start : start + rows] @ filters.t()).float()  # bfloat16 where that is what layers run in
        for before, k in zip([0, *steps], steps, strict=False):
            new_index = largest(products[:, before:k]) + before
            new_value = products.gather(1, new_index[:, None])[:, 0]
            if before == 0:
                value, index = new_value, new_index
            else:
                index = torch.where(new_value > value, new_index, index)
                value = torch.maximum(value, new_value)
            found[k][start : start + rows] = index
            totals[k] += float(value.sum())
    return [(found[k], totals[k] / slots.numel()) for k in ks]


def _sums(slots: torch.Tensor, indices: torch.Tensor, k: int) -> torch.Tensor:
    """The sum of the slots that each of k filters fills, (k, d)."""
    return slots.new_zeros(k, slots.shape[1]).index_add_(0, indices, slots)
