"""The matrix of magnitudes that composite planes decompose, its scales, and levels cut to planes of a given rank."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bankwise.search_space.basis.gf2 import outside


def filter_scales(weight: torch.Tensor, factorized: bool) -> torch.Tensor:
    """What each filter is divided by, (n, 1, 1, 1): its root mean square; without factorized planes its largest."""
    size = weight.detach().abs()
    if factorized:
        return size.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
    return size.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)


def magnitudes(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """(n, c, d_h, d_w) -> (h, w): the matrix that is decomposed."""
    n, c, height, width = weight.shape
    return (weight.detach() / scale).abs().reshape(n * height, c * width)


def capped(level: torch.Tensor, raw: int, ranks: Sequence[int]) -> torch.Tensor:
    """Levels (h, w) whose planes from `raw` up have at most `ranks`: from the highest plane down, rows outside the span
    of the first `rank` independent ones, the fullest rows first, fall to the largest level below the plane."""
    for i in reversed(range(len(ranks))):
        weight = 2 ** (raw + i)
        plane = (level // weight % 2).bool()
        if int(plane.sum()) <= ranks[i]:
            continue
        order = plane.sum(1).argsort(descending=True, stable=True).cpu()
        beyond = torch.from_numpy(outside(plane[order.to(plane.device)].cpu().numpy(), ranks[i]))
        over = torch.zeros_like(plane)
        over[order[beyond].to(plane.device)] = True
        level = torch.where(over & plane, level - level % weight - 1, level)
    return level
