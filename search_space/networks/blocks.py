"""What the networks are made of."""

from __future__ import annotations

from torch import nn


def channels(base: int, width: float) -> int:
    """`base` channels at width multiplier `width`, at least one."""
    return max(1, round(base * width))


def conv_norm_relu(c: int, n: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution from c to n channels, batch norm, ReLU. The norm's shift makes a bias redundant."""
    return nn.Sequential(
        nn.Conv2d(c, n, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(n),
        nn.ReLU(inplace=True),
    )


def pooled_classifier(c: int, num_classes: int) -> nn.Sequential:
    """Global average pooling and one linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, num_classes))
