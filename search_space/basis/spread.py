"""How far from zero banks and selection proxies start: it sets how soon a training step flips a sign."""

from __future__ import annotations

import torch

from bankwise.search_space.basis.signs import sign

BANK_SPREAD = 0.02
PROXY_SPREAD = 0.01
KERNEL_SPREAD = 0.5  # of sub-bit kernels: they change slowly, as in the published code, since each is taken by many
FITTED = 3.0  # times these, what was fitted to a trained weight outlasts the first steps (results/ablations)
LEAST = 1e-12  # against division by 0


def spread_to(bank: torch.Tensor, spread: float) -> torch.Tensor:
    """The bank scaled to the mean size `spread`; zeros become positive."""
    size = bank.abs().clamp(min=LEAST)
    return sign(bank) * size / size.mean() * spread
