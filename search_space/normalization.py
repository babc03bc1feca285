"""How pixels enter a network."""

from __future__ import annotations

import torch

from bankwise.search_space.errors import BankwiseError, unknown

SYMMETRIC, IMAGENET = "symmetric", "imagenet"
NORMALIZATIONS = (SYMMETRIC, IMAGENET)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as torchvision's pretrained networks take images
FORMULAS = {SYMMETRIC: "pixels / 127.5 - 1", IMAGENET: f"(pixels / 255 - {MEAN}) / {DEVIATION}"}  # of pixels 0 to 255


def to_input(pixels: torch.Tensor, normalization: str = SYMMETRIC) -> torch.Tensor:
    """uint8 pixels (..., C, H, W) to what a network sees, float32.

    Contiguous: strides that a transposed array of one channel left would pass for the channels-last layout.

    "symmetric": pixels / 127.5 - 1, in [-1, 1], without statistics of the data. "imagenet", of three channels: pixels /
    255, less ImageNet's mean, over its deviation.
    """
    values = pixels.to(torch.float32, memory_format=torch.contiguous_format)
    if normalization == SYMMETRIC:
        return values / 127.5 - 1
    mean, deviation = (torch.tensor(three, device=pixels.device)[:, None, None] for three in (MEAN, DEVIATION))
    return (values / 255 - mean) / deviation


def check_normalization(name: str, channels: int) -> None:
    """BankwiseError unless images of so many channels can be normalized so."""
    if name not in NORMALIZATIONS:
        raise unknown("normalization", name, NORMALIZATIONS)
    if name == IMAGENET and channels != 3:
        raise BankwiseError(f"normalization {name} is of colour images: these have {channels} channel(s), not 3")
