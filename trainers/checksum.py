"""Numbers that tell tensors apart."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import torch


def checksum(tensors: Iterable[torch.Tensor]) -> int:
    """CRC-32 of the tensors' bytes, one after another."""
    found = 0
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        found = zlib.crc32(array.data, found)
    return found
