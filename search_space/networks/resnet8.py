"""The ResNet-8 of MLPerf Tiny (Banbury et al. 2021, arXiv 2106.07597; github.com/mlcommons/tiny).

Its projections are 1x1 convolutions with a bias and no batch norm. The biases of its other convolutions, which the
batch norms behind them make redundant, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bankwise.search_space.networks.blocks import Width, channels, conv_norm_relu, pooled_classifier, stage_widths
from bankwise.search_space.networks.resnet import BasicBlock


def resnet8(
    num_classes: int = 10, in_channels: int = 3, width: Width = 1.0, depths: Sequence[int] = (1, 1, 1)
) -> nn.Module:
    """Three stages of one block, 16-32-64 channels."""
    widths = stage_widths(width, 3)
    c = channels(16, widths[0])
    blocks: list[nn.Module] = [conv_norm_relu(in_channels, c)]
    for stage, (base, multiplier, depth) in enumerate(zip((16, 32, 64), widths, depths, strict=True)):
        n = channels(base, multiplier)
        for block in range(depth):
            stride = 2 if stage and not block else 1
            made = BasicBlock(c, n, stride)
            if not isinstance(made.shortcut, nn.Identity):
                made.shortcut = nn.Conv2d(c, n, 1, stride=stride)
            blocks.append(made)
            c = n
    return nn.Sequential(*blocks, *pooled_classifier(c, num_classes))
