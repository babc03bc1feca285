"""ResNet-9 of David Page's "How to train your ResNet" (DAWNBench 2018; github.com/davidcpage/cifar10-fast): the network
of fast trainings on CIFAR-10. Its last layer has a bias and its logits no factor of 1/8, as in most copies of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.networks.blocks import Width, channels, conv_norm_relu, stage_widths


class Residual(nn.Module):
    """Two 3x3 convolutions of n channels, each with batch norm and ReLU, beside the identity."""

    def __init__(self, n: int):
        super().__init__()
        self.body = nn.Sequential(conv_norm_relu(n, n), conv_norm_relu(n, n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.body(x)
        return y


class GlobalMax(nn.Module):
    """The largest value of each map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(x, tuple(x.shape[-2:])).flatten(1)


def resnet9(
    num_classes: int = 10, in_channels: int = 3, width: Width = 1.0, depths: Sequence[int] = (1, 0, 1)
) -> nn.Module:
    """64 channels, then three stages of 128, 256 and 512: a convolution, a pooling, and `depths` residual blocks."""
    widths = stage_widths(width, 3)
    c = channels(64, widths[0])
    blocks: list[nn.Module] = [conv_norm_relu(in_channels, c)]
    for base, multiplier, depth in zip((128, 256, 512), widths, depths, strict=True):
        n = channels(base, multiplier)
        blocks += [conv_norm_relu(c, n), nn.MaxPool2d(2, ceil_mode=True), *(Residual(n) for _ in range(depth))]
        c = n
    return nn.Sequential(*blocks, GlobalMax(), nn.Linear(c, num_classes))
