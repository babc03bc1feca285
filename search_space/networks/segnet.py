"""SegNet (Badrinarayanan, Kendall & Cipolla 2017): a class for every pixel, by an encoder and its mirror image.

The encoder has the 13 convolutions of VGG-16. Each of its poolings remembers which pixel was largest, and the decoder,
13 convolutions as well, puts its maps back at those pixels. Batch norm and ReLU follow every convolution but the last.
"""

from __future__ import annotations

import torch
from torch import nn

from bankwise.search_space.networks.blocks import Width, channels, conv_norm_relu, stage_widths

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (channels, convolutions) of the encoder, largest map first


class SegNet(nn.Module):
    """Images (batch, in_channels, height, width), at least 32x32, to logits (batch, num_classes, height, width)."""

    def __init__(self, num_classes: int, in_channels: int, width: Width):
        super().__init__()
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        c = in_channels
        for (base, count), multiplier in zip(STAGES, stage_widths(width, len(STAGES)), strict=True):
            n = channels(base, multiplier)
            encoder.append(nn.Sequential(*(conv_norm_relu(c if i == 0 else n, n) for i in range(count))))
            inner = [conv_norm_relu(n, n) for _ in range(count - 1)]
            last = nn.Conv2d(n, num_classes, 3, padding=1) if not decoder else conv_norm_relu(n, c)
            decoder.append(nn.Sequential(*inner, last))
            c = n
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape[-2:]
            x, indices = self.pool(x)
            places.append((indices, size))
        for stage, (indices, size) in zip(reversed(self.decoder), reversed(places), strict=True):
            x = stage(self.unpool(x, indices, size))
        return x


def segnet(num_classes: int = 11, in_channels: int = 3, width: Width = 1.0) -> nn.Module:
    return SegNet(num_classes, in_channels, width)
