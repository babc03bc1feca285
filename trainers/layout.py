"""The layout of maps and weights in memory while a network is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def layout(model: nn.Module, channels_last: bool) -> Iterator[None]:
    """Convolution weights in the layout of the maps; restored after it, since the last bits of logits depend on it."""
    if channels_last:
        nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last)
    try:
        yield
    finally:
        if channels_last:
            nn.utils.convert_conv2d_weight_memory_format(model, torch.contiguous_format)
