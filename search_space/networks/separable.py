"""Networks of depthwise-separable convolutions: a depthwise 3x3 one, then a 1x1 one, each with batch norm and ReLU.

DS-CNN is the keyword spotter of Zhang et al. 2017, "Hello Edge" (arXiv 1711.07128), in the form of MLPerf Tiny (Banbury
et al. 2021, arXiv 2106.07597; github.com/mlcommons/tiny), whose dropouts are left out. MobileNetV1 is Howard et al.
2017 (arXiv 1704.04861), table 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bankwise.search_space.networks.blocks import Width, channels, pooled_classifier, stage_widths


def norm_relu(convolution: nn.Conv2d) -> nn.Sequential:
    """The convolution, batch norm, ReLU."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True))


def separable(c: int, n: int, stride: int = 1) -> nn.Sequential:
    """From c to n channels: each channel alone by 3x3 taps, then all of them at each place."""
    return nn.Sequential(
        norm_relu(nn.Conv2d(c, c, 3, stride=stride, padding=1, groups=c, bias=False)),
        norm_relu(nn.Conv2d(c, n, 1, bias=False)),
    )


def dscnn(num_classes: int = 10, in_channels: int = 3, width: Width = 1.0, depths: Sequence[int] = (4,)) -> nn.Module:
    """A 10x4 convolution of stride 2 and four separable blocks, 64 channels. Made for spectrograms of 49x10 (maps of
    25x5), it takes any image."""
    (depth,), (width,) = depths, stage_widths(width, 1)
    n = channels(64, width)
    stem = norm_relu(nn.Conv2d(in_channels, n, (10, 4), stride=2, padding=(5, 1), bias=False))
    return nn.Sequential(stem, *(separable(n, n) for _ in range(depth)), *pooled_classifier(n, num_classes))


def mobilenet_v1(
    num_classes: int = 10, in_channels: int = 3, width: Width = 1.0, depths: Sequence[int] = (1, 2, 2, 6, 2)
) -> nn.Module:
    """Five stages of separable blocks, 64 to 1024 channels, behind 32; every stage but the first halves the map. The
    first two of the paper's strides are 1, for images of CIFAR's size."""
    widths = stage_widths(width, 5)
    c = channels(32, widths[0])
    blocks = [norm_relu(nn.Conv2d(in_channels, c, 3, padding=1, bias=False))]
    for stage, (base, multiplier, depth) in enumerate(zip((64, 128, 256, 512, 1024), widths, depths, strict=True)):
        n = channels(base, multiplier)
        for block in range(depth):
            blocks.append(separable(c, n, 2 if stage and not block else 1))
            c = n
    return nn.Sequential(*blocks, *pooled_classifier(c, num_classes))
