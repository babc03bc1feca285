"""VGG for CIFAR-sized images.

Pooling rounds up, which changes nothing for 32x32 images and lets 28x28 and smaller ones pass through five poolings.
"""

from __future__ import annotations

from torch import nn

from bankwise.search_space.networks.blocks import Width, channels, conv_norm_relu, pooled_classifier, stage_widths

# Channels of the layers of each stage; a pooling ends it.
VGG16 = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]
VGG_SMALL = [[128, 128], [256, 256], [512, 512]]


def vgg16(num_classes: int = 10, in_channels: int = 3, width: Width = 1.0) -> nn.Module:
    """Simonyan & Zisserman 2015, configuration D with batch norm: 13 convolutions, global pooling, one linear layer."""
    features, c = _features(VGG16, in_channels, width)
    return nn.Sequential(features, pooled_classifier(c, num_classes))


def vgg_small(num_classes: int = 10, in_channels: int = 3, width: Width = 1.0) -> nn.Module:
    """VGG-small of the binary network papers: 6 convolutions, one linear layer on the 4x4 maps of a 32x32 image."""
    features, c = _features(VGG_SMALL, in_channels, width)
    # The adaptive pooling is the identity for 32x32 images; it fits other sizes to the same linear layer.
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(c * 4 * 4, num_classes))


def _features(stages: list[list[int]], c: int, width: Width) -> tuple[nn.Sequential, int]:
    """The convolutional part for c input channels, and its output channels."""
    blocks: list[nn.Module] = []
    for layers, multiplier in zip(stages, stage_widths(width, len(stages)), strict=True):
        for base in layers:
            n = channels(base, multiplier)
            blocks.append(conv_norm_relu(c, n))
            c = n
        blocks.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*blocks), c
