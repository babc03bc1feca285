"""What a network gives: logits, alone or before other things."""

from __future__ import annotations

import torch


def logits_of(output: object) -> torch.Tensor | None:
    """The logits of a forward pass: its output, or the first of several as in (logits, features); None where that is
    no tensor.

    >>> logits_of((torch.zeros(2, 10), torch.zeros(2, 64))).shape
    torch.Size([2, 10])
    """
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def described(output: object) -> str:
    """Its shape, or its type where it has none, for errors."""
    if isinstance(output, tuple | list):
        return f"({', '.join(map(described, output))})"
    return str(tuple(output.shape)) if isinstance(output, torch.Tensor) else type(output).__name__
