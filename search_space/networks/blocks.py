"""What the networks are made of."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bankwise.search_space.errors import BankwiseError

Width = float | Sequence[float]  # a multiplier of channels for the whole network, or one for each of its stages


def stage_widths(width: Width, stages: int) -> list[float]:
    """A width multiplier for each of `stages` stages."""
    widths = list(width) if isinstance(width, Sequence) else [width]
    if len(widths) not in (1, stages):
        raise BankwiseError(f"{len(widths)} widths for a network of {stages} stages: give one, or one for each stage")
    return widths * (stages // len(widths))


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
