"""Networks drawn by a seed, of every operation that C sources have."""

import random

import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = (
    F.relu, F.relu6, F.hardswish, F.hardsigmoid, F.silu, torch.sigmoid, torch.tanh, F.hardtanh,
    lambda x: F.leaky_relu(x, 0.2), lambda x: x.clamp(-1.5, 0.7), lambda x: F.relu(x, inplace=True),
    F.gelu, lambda x: F.gelu(x, approximate="tanh"), lambda x: F.elu(x, 0.7),
)  # fmt: skip


class Chance(nn.Module):
    """`steps` of convolutions, norms, activations, pools, sums, gates and concatenations, then a head."""

    def __init__(self, seed, num_classes=10, in_channels=2, side=9):
        super().__init__()
        self.draw, self.program, self.layers = random.Random(seed), [], nn.ModuleList()
        channels, earlier = in_channels, []
        for _ in range(self.draw.randint(3, 7)):
            kind = self.draw.choice("ccccdnagsopm" if side > 2 else "cna")
            channels, side = self._add(kind, channels, side, earlier)
        self.head = nn.Linear(channels, num_classes, bias=self.draw.random() < 0.5)
        self.pooled = self.draw.random() < 0.5
        self.last = nn.BatchNorm1d(num_classes) if self.draw.random() < 0.3 else None

    def _layer(self, layer):
        self.layers.append(layer)
        return len(self.layers) - 1

    def _add(self, kind, channels, side, earlier):
        choose = self.draw.choice
        if kind in "cd":
            groups = channels if kind == "d" else choose([g for g in (1, 1, 1, 2) if channels % g == 0])
            out = channels if kind == "d" else groups * self.draw.randint(2, 4)
            kernel, stride, dilation = choose((1, 2, 3, 3)), choose((1, 1, 2)), choose((1, 1, 2))
            reach = (kernel - 1) * dilation
            padding = choose([p for p in range(reach + 1) if side + 2 * p > reach])
            made = nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias=self.draw.random() < 0.5)
            self.program.append(("layer", self._layer(made)))
            earlier.clear()
            if self.draw.random() < 0.6:
                self.program.append(("layer", self._layer(nn.BatchNorm2d(out))))
            return out, (side + 2 * padding - reach - 1) // stride + 1
        if kind == "n":
            self.program.append(("layer", self._layer(nn.BatchNorm2d(channels))))
        elif kind == "a":
            self.program.append(("act", self.draw.randrange(len(ACTIVATIONS))))
        elif kind == "g":
            self.program.append(("gate", self._layer(nn.Linear(channels, channels))))
        elif kind == "s":
            self.program.append(("sum", self._layer(nn.Conv2d(channels, channels, 3, padding=1))))
        elif kind == "o":
            self.program.append(("join", self._layer(nn.Conv2d(channels, 2, 1))))
            return channels + 2, side
        else:
            pool = nn.MaxPool2d(2, 1, 1) if kind == "m" else nn.AvgPool2d(2, ceil_mode=self.draw.random() < 0.5,
                count_include_pad=self.draw.random() < 0.5, padding=self.draw.randint(0, 1))  # fmt: skip
            self.program.append(("layer", self._layer(pool)))
            with torch.no_grad():
                return channels, pool(torch.zeros(1, 1, side, side)).shape[-1]
        return channels, side

    def forward(self, x):
        for kind, which in self.program:
            if kind == "layer":
                x = self.layers[which](x)
            elif kind == "act":
                x = ACTIVATIONS[which](x)
            elif kind == "gate":
                x = x * torch.sigmoid(self.layers[which](x.mean((2, 3))))[:, :, None, None]
            elif kind == "sum":
                x = F.relu(x + self.layers[which](x))
            else:
                x = torch.cat([x, self.layers[which](x)], 1)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1) if self.pooled else x.mean((2, 3))
        x = self.head(x)
        return x if self.last is None else self.last(x)


def of(seed):
    """The constructor of a network, as references name one."""

    def chance(num_classes=10, in_channels=2):
        return Chance(seed, num_classes, in_channels)

    return chance
