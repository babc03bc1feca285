"""Residual networks for CIFAR-sized images (He et al. 2016, "Deep Residual Learning", section 4.2).

Shortcuts are identities; where a block changes the shape, a 1x1 convolution projects (option B of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import relu

from bankwise.search_space.networks.blocks import Width, channels, conv_norm_relu, pooled_classifier, stage_widths


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, from c to n channels."""

    def __init__(self, c: int, n: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(c, n, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(n)
        self.conv2 = nn.Conv2d(n, n, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(n)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c != n:
            self.shortcut = nn.Sequential(nn.Conv2d(c, n, 1, stride=stride, bias=False), nn.BatchNorm2d(n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return relu(y + self.shortcut(x))


def resnet20(
    num_classes: int = 10, in_channels: int = 3, width: Width = 1.0, depths: Sequence[int] = (3, 3, 3)
) -> nn.Module:
    """Three stages of three blocks, 16-32-64 channels."""
    return _resnet([16, 32, 64], depths, num_classes, in_channels, width)


def resnet56(
    num_classes: int = 10, in_channels: int = 3, width: Width = 1.0, depths: Sequence[int] = (9, 9, 9)
) -> nn.Module:
    """Three stages of nine blocks, 16-32-64 channels."""
    return _resnet([16, 32, 64], depths, num_classes, in_channels, width)


def resnet18(
    num_classes: int = 10, in_channels: int = 3, width: Width = 1.0, depths: Sequence[int] = (2, 2, 2, 2)
) -> nn.Module:
    """Four stages of two blocks, 64 to 512 channels, behind the CIFAR stem: a 3x3 convolution and no pooling."""
    return _resnet([64, 128, 256, 512], depths, num_classes, in_channels, width)


def _resnet(bases: list[int], depths: Sequence[int], num_classes: int, in_channels: int, width: Width) -> nn.Sequential:
    """A stage of so many blocks for each of `bases`; every stage but the first halves the map."""
    widths = stage_widths(width, len(bases))
    c = channels(bases[0], widths[0])
    stem = conv_norm_relu(in_channels, c)
    stages = []
    for stage, (base, multiplier, blocks) in enumerate(zip(bases, widths, depths, strict=True)):
        n = channels(base, multiplier)
        strides = [1 if stage == 0 else 2] + [1] * (blocks - 1) if blocks else []
        stages.append(nn.Sequential(*(BasicBlock(c if i == 0 else n, n, stride) for i, stride in enumerate(strides))))
        c = n if blocks else c
    return nn.Sequential(stem, *stages, pooled_classifier(c, num_classes))
