"""The few values that a stored bank weight or coefficient can take, all in [-1, 1], and how they are coded.

Bank, b bits: (2 code - L)/L with L = 2^b - 1, so -1 and 1 at one bit. Coefficient, a bits: plus or minus j/L for
j = 1 to L = 2^(a-1), so -1 and 1 at one bit. Neither has a zero: it would waste a code of a symmetric set.
"""

from __future__ import annotations

import torch


def bank_values(codes: torch.Tensor, bits: int) -> torch.Tensor:
    top = 2**bits - 1
    values: torch.Tensor = (2 * codes - top).float() / top
    return values


def nearest_bank(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes of the levels nearest to x; what lies in the middle goes up, so 0 is positive."""
    top = 2**bits - 1
    codes: torch.Tensor = ((x * top + top + 1) / 2).floor().clamp(0, top).long()
    return codes


def coefficient_values(codes: torch.Tensor, bits: int) -> torch.Tensor:
    top = 2 ** (bits - 1)
    steps = codes - top
    values: torch.Tensor = (steps + (steps >= 0)).float() / top
    return values


def nearest_coefficient(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes of the levels nearest to x; 0 is positive."""
    top = 2 ** (bits - 1)
    steps = (x.abs() * top).round().clamp(1, top).long()
    return torch.where(x >= 0, top - 1 + steps, top - steps)
