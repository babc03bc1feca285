"""Which entry of each row is the largest: what selections are made by."""

from __future__ import annotations

import torch


@torch.no_grad()
def largest(values: torch.Tensor) -> torch.Tensor:
    """The index of the largest of each row of (rows, k), the first of equal ones: int64 (rows,).

    NumPy's search of 64 to 256 numbers takes a quarter of the time of torch's on a CPU.
    """
    if values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(values.detach().numpy().argmax(1))
    return values.argmax(1)
