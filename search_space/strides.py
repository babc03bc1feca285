"""Strided 1x1 convolutions of few channels, run as a slice and a convolution of stride 1: the same sums.

oneDNN, torch's library on the CPU, writes beyond its buffer in the weight gradient of such a convolution on
channels-last maps where a pixel has fewer channels than a vector register has places (uxlfoundation/oneDNN#6035):
wrong gradients or a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

VECTOR = 16  # float32 in the widest register, AVX-512's; AVX2's holds 8


def overruns(kernel: tuple[int, int], stride: tuple[int, int], padding: object, channels: int) -> bool:
    """Whether a convolution of `channels` input channels a group is such a one."""
    return kernel == (1, 1) and max(stride) > 1 and padding == (0, 0) and channels < VECTOR


def at_stride(x: torch.Tensor, stride: tuple[int, int]) -> torch.Tensor:
    """The pixels of maps (batch, channels, height, width) that a 1x1 convolution of that stride looks at."""
    return x[:, :, :: stride[0], :: stride[1]]


@contextmanager
def sliced_strides(model: nn.Module) -> Iterator[None]:
    """Every nn.Conv2d of the model that would overrun gets its maps sliced, until the end."""
    changed = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            channels = module.in_channels // module.groups
            height, width = module.kernel_size
            down, right = module.stride
            if overruns((height, width), (down, right), module.padding, channels):
                stride, module.stride = module.stride, (1, 1)
                hook = module.register_forward_pre_hook(
                    lambda _, inputs, stride=stride: (at_stride(inputs[0], stride), *inputs[1:])
                )
                changed.append((module, stride, hook))
    try:
        yield
    finally:
        for module, stride, hook in changed:
            module.stride = stride
            hook.remove()
