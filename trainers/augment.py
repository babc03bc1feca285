"""Augmentation of a batch at once: random crops after zero padding, and mirror images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """Draws for every image of one epoch: row and column offsets (N,) in [0, 2 * crop], mirrored (N,) bool."""

    crop: int
    rows: torch.Tensor
    columns: torch.Tensor
    mirrored: torch.Tensor

    @classmethod
    def draw(
        cls, count: int, crop: int, flip: bool, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> Augmentation:
        """Draw for `count` images on the CPU, so that every device sees the same, then move to `device`."""
        rows, columns = torch.randint(2 * crop + 1, (2, count), generator=generator)
        mirrored = torch.rand(count, generator=generator) < (0.5 if flip else 0.0)
        return cls(crop, rows.to(device), columns.to(device), mirrored.to(device))

    def apply(self, pixels: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """The images uint8 (B, C, H, W) with the draws number `indices` (B,); shape and type stay."""
        if self.crop:
            height, width = pixels.shape[2:]
            windows = functional.pad(pixels, (self.crop,) * 4).unfold(2, height, 1).unfold(3, width, 1)
            images = torch.arange(len(pixels), device=pixels.device)
            pixels = windows[images, :, self.rows[indices], self.columns[indices]]
        return torch.where(self.mirrored[indices].view(-1, 1, 1, 1), pixels.flip(3), pixels)
