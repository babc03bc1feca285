"""A weight as slots: the places of s channels and t_h x t_w taps that one bank filter fills."""

from __future__ import annotations

import torch


def to_slots(weight: torch.Tensor, s: int, tile: tuple[int, int]) -> torch.Tensor:
    """(n, c, d_h, d_w) -> (n q, s t_h t_w), slots ordered by filter, channel group, tile row, tile column."""
    n, c, height, width = weight.shape
    split = weight.reshape(n, c // s, s, height // tile[0], tile[0], width // tile[1], tile[1])
    return split.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, s * tile[0] * tile[1])


def from_slots(slots: torch.Tensor, weight_shape: tuple[int, ...], s: int, tile: tuple[int, int]) -> torch.Tensor:
    """The inverse of `to_slots`."""
    n, c, height, width = weight_shape
    split = slots.reshape(n, c // s, height // tile[0], width // tile[1], s, *tile)
    return split.permute(0, 1, 4, 2, 5, 3, 6).reshape(weight_shape)
