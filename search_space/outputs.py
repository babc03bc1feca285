"""What a network gives: logits, alone or before other things."""

from __future__ import annotations

import torch
from torch import nn


def logits_of(output: object) -> torch.Tensor | None:
    """The logits of a forward pass: its output, or the first of several as in (logits, features); None where that is
    no tensor.

    >>> logits_of((torch.zeros(2, 10), torch.zeros(2, 64))).shape
    torch.Size([2, 10])
    """
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


@torch.no_grad()
def finite_logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor | None:
    """The logits of the images in evaluation, where they are finite numbers; else None."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        logits = logits_of(network.eval()(images))
    return logits if logits is not None and bool(torch.isfinite(logits).all()) else None


def described(output: object) -> str:
    """Its shape, or its type where it has none, for errors."""
    if isinstance(output, tuple | list):
        return f"({', '.join(map(described, output))})"
    return str(tuple(output.shape)) if isinstance(output, torch.Tensor) else type(output).__name__
