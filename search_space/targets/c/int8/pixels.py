"""How pixels enter a network of int8 activations: by whole numbers, as the macro NAME_QUANTIZE does."""

from __future__ import annotations

import torch

from bankwise.search_space.images import Images
from bankwise.search_space.normalization import DEVIATION, IMAGENET, MEAN
from bankwise.search_space.plan import Plan

SHIFTED = 256  # what is added, so that nothing negative is shifted
_BITS = 16


def pixel_lines(plan: Plan, scale: float) -> list[tuple[int, int]] | None:
    """(factor, offset) of each channel: a pixel p enters as ((p factor + offset) >> 16) - SHIFTED, its normalized value
    over `scale`, rounded; None where the normalization is not known."""
    normalization = (plan.images or Images()).normalization
    if normalization is None:
        return None
    channels = plan.input_shape[0]
    lines = [(1 / 127.5, -1.0)] * channels
    if normalization == IMAGENET:
        lines = [(1 / (255 * deviation), -mean / deviation) for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    unit = 2**_BITS
    return [(round(a / scale * unit), round((b / scale + SHIFTED + 0.5) * unit)) for a, b in lines]


def of_pixels(plan: Plan, scale: float, pixels: torch.Tensor) -> torch.Tensor | None:
    """uint8 pixels (..., channels, height, width) as int8 inputs; None where the normalization is not known."""
    lines = pixel_lines(plan, scale)
    if lines is None:
        return None
    factor, offset = (torch.tensor([line[i] for line in lines])[:, None, None] for i in (0, 1))
    found: torch.Tensor = ((pixels.long() * factor + offset) >> _BITS) - SHIFTED
    return found.to(torch.int8)
