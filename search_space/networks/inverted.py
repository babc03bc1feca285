"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381): inverted residuals with linear bottlenecks, table 2."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bankwise.search_space.networks.blocks import Width, channels, pooled_classifier, stage_widths

# Of each stage: expansion, channels, stride of its first block. For images of CIFAR's size the strides of the first
# convolution and of the second stage, which the paper has at 2, are 1.
STAGES = ((1, 16, 1), (6, 24, 1), (6, 32, 2), (6, 64, 2), (6, 96, 1), (6, 160, 2), (6, 320, 1))


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the c channels, depthwise 3x3, 1x1 to n channels without an activation; a shortcut
    where nothing changes its shape."""

    def __init__(self, c: int, n: int, expansion: int, stride: int):
        super().__init__()
        inner = c * expansion
        wider = [_convolution(c, inner, 1)] if expansion > 1 else []
        self.body = nn.Sequential(
            *wider,
            _convolution(inner, inner, 3, stride, groups=inner),
            nn.Conv2d(inner, n, 1, bias=False),
            nn.BatchNorm2d(n),
        )
        self.residual = stride == 1 and c == n

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return x + y if self.residual else y


def mobilenet_v2(
    num_classes: int = 10,
    in_channels: int = 3,
    width: Width = 1.0,
    depths: Sequence[int] = (1, 2, 3, 4, 3, 3, 1),
) -> nn.Module:
    """Seven stages, 16 to 320 channels, between 32 and 1280: those in front have the first stage's width, those behind
    the last one's."""
    widths = stage_widths(width, len(STAGES))
    c = channels(32, widths[0])
    blocks: list[nn.Module] = [_convolution(in_channels, c, 3)]
    for (expansion, base, stride), multiplier, depth in zip(STAGES, widths, depths, strict=True):
        n = channels(base, multiplier)
        for block in range(depth):
            blocks.append(InvertedResidual(c, n, expansion, 1 if block else stride))
            c = n
    last = channels(1280, widths[-1])
    return nn.Sequential(*blocks, _convolution(c, last, 1), *pooled_classifier(last, num_classes))


def _convolution(c: int, n: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(c, n, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(n),
        nn.ReLU6(inplace=True),
    )
