"""Small networks that train in minutes on a CPU: a stack of 3x3 convolutions, for any image from 8x8 upwards."""

from __future__ import annotations

from torch import nn

from bankwise.search_space.networks.blocks import Width, channels, conv_norm_relu, pooled_classifier, stage_widths


def tiny(num_classes: int = 10, in_channels: int = 3, width: Width = 1.0) -> nn.Module:
    """16, 32/2, 32, 64/2 ("/2": stride 2), three stages: the default for 8x8 digits."""
    return _stack([[(16, 1)], [(32, 2), (32, 1)], [(64, 2)]], num_classes, in_channels, width)


def small(num_classes: int = 10, in_channels: int = 3, width: Width = 1.0) -> nn.Module:
    """32, 32/2, 64, 64/2, 128, 128/2, three stages: for images of 28x28 or 32x32 on little hardware."""
    return _stack([[(32, 1), (32, 2)], [(64, 1), (64, 2)], [(128, 1), (128, 2)]], num_classes, in_channels, width)


def _stack(stages: list[list[tuple[int, int]]], num_classes: int, in_channels: int, width: Width) -> nn.Sequential:
    """The layers of each of `stages` are (channels at width 1, stride)."""
    blocks = []
    c = in_channels
    for layers, multiplier in zip(stages, stage_widths(width, len(stages)), strict=True):
        for base, stride in layers:
            n = channels(base, multiplier)
            blocks.append(conv_norm_relu(c, n, stride))
            c = n
    return nn.Sequential(*blocks, *pooled_classifier(c, num_classes))
