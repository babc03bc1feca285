"""How choices take part in a layer's mixture of weights, sum over its choices c of p_c a_c Q_c(latent), a_c scales.

A family names its mixer. All choices of a layer with one mixer are given to it together, so that it can share work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from bankwise.search_space.families.choice import Choice


class Mixer(ABC):
    """The terms of the `choices` in a mixture, by their number in the layer's row; `shares` are their p, above 0.

    One forward pass makes a mixer, calls `add` once, and `backward` where there is a gradient; what `add` found may be
    kept in between. `bank` is the layer's shared real-valued bank (k, s, d_h, d_w); a choice sees the first k filters,
    s channels and t_h x t_w taps of it.
    """

    def __init__(self, choices: Mapping[int, Choice], shares: Mapping[int, float]):
        self.choices, self.shares = choices, shares

    @abstractmethod
    def add(self, mixed: torch.Tensor, latent: torch.Tensor, bank: torch.Tensor) -> None:
        """Add the terms to `mixed` (n, c, d_h, d_w)."""

    @abstractmethod
    def backward(
        self,
        gradient: torch.Tensor,
        latent: torch.Tensor,
        bank: torch.Tensor,
        to_bank: torch.Tensor,
        to_p: torch.Tensor | None,
    ) -> None:
        """Add the bank's gradient to `to_bank`, straight through its rounding, and set to_p[i] = <gradient, a_i Q_i>
        (None: p needs no gradient). The latent weight has `gradient` itself, whatever the mixer."""


class Rounding(Mixer):
    """Choices without a bank: each rounds the latent weight by its `rounded`."""

    def add(self, mixed: torch.Tensor, latent: torch.Tensor, bank: torch.Tensor) -> None:
        for i, choice in self.choices.items():
            mixed.add_(choice.rounded(latent), alpha=self.shares[i])

    def backward(
        self,
        gradient: torch.Tensor,
        latent: torch.Tensor,
        bank: torch.Tensor,
        to_bank: torch.Tensor,
        to_p: torch.Tensor | None,
    ) -> None:
        if to_p is not None:
            for i, choice in self.choices.items():
                to_p[i] = (gradient * choice.rounded(latent)).sum()
