"""Split-transform-merge: a layer whose filters share a bank, run without building its weight."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bankwise.search_space.shape import LayerShape


def split_transform_merge(
    x: torch.Tensor, filters: torch.Tensor, selection: torch.Tensor, shape: LayerShape
) -> torch.Tensor:
    """Split the channels into groups of s, convolve each with the k bank filters, add up the selected maps.

    x (batch, groups c, height, width); filters (k, s, t_h, t_w); selection one-hot
    (n, c/s, d_h/t_h, d_w/t_w, k). Every map is computed once and read at each tile's offset.
    """
    k, s, *tile = filters.shape
    batch, channels = x.shape[:2]
    pad_h, pad_w = shape.padding
    extra_h, extra_w = shape.extra_padding
    padded = F.pad(x, (pad_w, pad_w + extra_w, pad_h, pad_h + extra_h))
    split = padded.reshape(batch * (channels // s), s, *padded.shape[2:])
    maps = F.conv2d(split, filters, dilation=shape.dilation)
    maps = maps.reshape(batch, shape.groups, shape.c // s, k, *maps.shape[2:])
    chosen = selection.reshape(shape.groups, shape.n // shape.groups, *selection.shape[1:])
    height, width = (
        (padded.shape[2 + i] - shape.dilation[i] * (shape.kernel[i] - 1) - 1) // shape.stride[i] + 1 for i in (0, 1)
    )
    out = x.new_zeros(batch, shape.groups, shape.n // shape.groups, height, width)
    for row in range(selection.shape[2]):
        for column in range(selection.shape[3]):
            top, left = row * tile[0] * shape.dilation[0], column * tile[1] * shape.dilation[1]
            window = maps[
                ...,
                top : top + (height - 1) * shape.stride[0] + 1 : shape.stride[0],
                left : left + (width - 1) * shape.stride[1] + 1 : shape.stride[1],
            ]
            out = out + torch.einsum("bgckhw,gfck->bgfhw", window, chosen[:, :, :, row, column])
    return out.reshape(batch, shape.n, height, width)
