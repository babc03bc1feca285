"""Networks of what C sources have, and of what they have not."""

import torch
from torch import nn
from torch.nn import functional as F


class Mixed(nn.Module):
    """Every kind of operation."""

    def __init__(self, num_classes=10, in_channels=2):
        super().__init__()
        self.same = nn.Conv2d(in_channels, 8, (4, 3), padding="same", bias=True)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.dilated = nn.Conv2d(8, 8, 3, dilation=2, padding=2, groups=2, bias=True)
        self.norm2 = nn.BatchNorm2d(8, affine=False)
        self.strided = nn.Conv2d(16, 12, (3, 2), stride=(2, 1), padding=(0, 1))
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.average = nn.AvgPool2d(2, 2, padding=1, ceil_mode=True, count_include_pad=False)
        self.padded = nn.AvgPool2d(3, 1, padding=1)
        self.gate = nn.Linear(12, 12)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(12 * 4 + 12, num_classes, bias=False)
        self.norm3 = nn.BatchNorm1d(num_classes)

    def forward(self, x):
        x = F.hardswish(self.same(x))
        y = F.relu6(self.norm(self.depthwise(x)), inplace=True)
        z = self.norm2(self.dilated(y))
        x = torch.cat([x + y, F.leaky_relu(z, 0.1)], dim=1)
        x = F.silu(self.strided(x))
        gate = torch.sigmoid(self.gate(x.mean((2, 3))))
        x = self.pool(x) * gate[:, :, None, None]
        x = torch.tanh(self.padded(self.average(x)))
        ends = [torch.flatten(F.adaptive_avg_pool2d(x, 2), 1), F.hardsigmoid(x).mean((2, 3))]
        x = self.dropout(torch.cat(ends, 1)).clamp(min=-0.9)
        return self.norm3(self.head(F.hardtanh(x, -0.8, 0.7)))


class InPlace(nn.Module):
    """Changes tensors in place, of which there are views, and copies that stay as they were."""

    def __init__(self, num_classes=10, in_channels=2):
        super().__init__()
        self.conv, self.second = nn.Conv2d(in_channels, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        x = self.conv(x)
        copied, ordered = x.clone(), x.contiguous(memory_format=torch.channels_last)
        F.relu_(copied)
        ordered.sigmoid_()
        y = self.second(x)
        viewed = self.dropout(y).flatten(2)
        F.leaky_relu_(viewed, 0.3)  # so is y
        y += copied
        return self.head((x + y + ordered).mean((2, 3)))


class Transposed(nn.Module):
    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 3)
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x):
        return self.shuffle(self.conv(x)).mean((2, 3))


class Shifted(nn.Module):
    """Adds a parameter of its own."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 3)
        self.shift = nn.Parameter(torch.zeros(1, num_classes, 6, 6))

    def forward(self, x):
        return (self.conv(x) + self.shift).mean((2, 3))


class Computed(nn.Module):
    """Convolves with a weight that it computes."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 3)
        self.kernel = nn.Parameter(torch.ones(num_classes, num_classes, 3, 3))

    def forward(self, x):
        return F.conv2d(self.conv(x), torch.tanh(self.kernel)).mean((2, 3))


class Smooth(nn.Module):
    """Activations that bend everywhere, one after another."""

    def __init__(self, num_classes=10, in_channels=2):
        super().__init__()
        self.curves = (F.gelu, lambda x: F.gelu(x, approximate="tanh"), lambda x: F.elu(x, 0.7), F.elu, F.silu)
        channels = [in_channels, *(6 for _ in self.curves)]
        self.layers = nn.ModuleList(nn.Conv2d(c, n, 3, padding=1) for c, n in zip(channels, channels[1:], strict=False))
        self.head = nn.Linear(6, num_classes)

    def forward(self, x):
        for layer, curve in zip(self.layers, self.curves, strict=True):
            x = curve(layer(x))
        return self.head(x.mean((2, 3)))


class Scaled(nn.Module):
    """An ELU with a further factor, as SELU has it."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 3)

    def forward(self, x):
        return torch.ops.aten.elu(self.conv(x), 1.7, 1.05).mean((2, 3))


class Alike(nn.Module):
    """Layers whose names differ in what no name of C has, and one that would end a comment."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.a = nn.Sequential()
        self.a.add_module("b", nn.Conv2d(in_channels, 4, 3, bias=False))
        self.a_b = nn.Conv2d(4, 4, 3, bias=False)
        self.add_module("*/ /* end", nn.Linear(4, num_classes))

    def forward(self, x):
        x = self.a_b(torch.relu(self.a.b(x))).mean((2, 3))
        return getattr(self, "*/ /* end")(x)


class Windows(nn.Module):
    """Cuts an image into two windows, in the batch dimension, for one operation."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.one = self.OPERATION()
        self.head = nn.LazyLinear(num_classes)
        self(torch.zeros(1, in_channels, 8, 8))

    def forward(self, x):
        return self.head(self.one(x.reshape(-1, 1, 4, 8)).reshape(len(x), -1))


class WindowsConvolved(Windows):
    OPERATION = staticmethod(lambda: nn.Conv2d(1, 4, 3))


class WindowsNormed(Windows):
    OPERATION = staticmethod(lambda: nn.BatchNorm2d(1))


class WindowsMaximum(Windows):
    OPERATION = staticmethod(lambda: nn.MaxPool2d(2))


class WindowsAverage(Windows):
    OPERATION = staticmethod(lambda: nn.AvgPool2d(2))


class WindowsAdaptive(Windows):
    OPERATION = staticmethod(lambda: nn.AdaptiveAvgPool2d(2))


class Rows(nn.Module):
    """What runs on windows in the batch dimension: linear layers, sums, products, activations and means."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.first, self.second = nn.Linear(32, 16), nn.Linear(16, 16)
        self.head = nn.Linear(48, num_classes)

    def forward(self, x):
        x = torch.tanh(self.first(x.reshape(-1, 32)))
        y = (x + self.second(x).relu()) * x
        parts = [y.reshape(-1, 32), y.unflatten(1, (8, 2)).mean(2).reshape(-1, 16)]
        return self.head(torch.cat(parts, 1))


class Functional(nn.Module):
    """Reads the weight of a layer once more, without its bias, which is a large one."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.linear, self.head = nn.Linear(6, 6), nn.Linear(6, num_classes)
        for layer in (self.conv, self.linear, self.head):
            nn.init.normal_(layer.bias)

    def forward(self, x):
        y = self.norm(self.conv(x)).relu() + F.conv2d(x, self.conv.weight, padding=1)
        y = y.mean((2, 3))
        return self.head(self.linear(y).relu() + F.linear(y, self.linear.weight))


class OtherBias(nn.Module):
    """Reads a layer's weight with the bias of another."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.first, self.second = nn.Linear(64, 8), nn.Linear(64, 8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = x.flatten(1)
        return self.head(self.first(x) + self.second(x) + F.linear(x, self.first.weight, self.second.bias))


class Named(nn.Module):
    """Modules and parameters of several names, of which torch.export takes the last."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.first, self.norm = nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.alias, self.also = self.first, self.norm
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.twice = nn.ModuleList([self.second, self.second])
        self.kept, self.tied = nn.Linear(6, 6), nn.Linear(6, 6)
        self.tied.weight, self.tied.bias = self.kept.weight, self.kept.bias
        self.head = nn.Linear(6, num_classes)
        for layer in (self.first, self.second, self.kept, self.head):
            nn.init.normal_(layer.bias)

    def forward(self, x):
        x = self.also(self.alias(x)).relu()
        for layer in self.twice:
            x = layer(x).relu()
        return self.head(self.tied(self.kept(x.mean((2, 3))).relu()))


class Tokens(nn.Module):
    """A linear layer over the columns of 8 maps, then a batch norm over the maps."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.conv, self.mix, self.norm = nn.Conv2d(in_channels, 8, 3, padding=1), nn.Linear(8, 8), nn.BatchNorm2d(8)
        self.head = nn.Linear(512, num_classes)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x):
        return self.head(self.norm(self.mix(self.conv(x).relu())).flatten(1))


NETWORKS = (
    Mixed, InPlace, Transposed, Shifted, Computed, Smooth, Scaled, Alike, WindowsConvolved, WindowsNormed,
    WindowsMaximum, WindowsAverage, WindowsAdaptive, Rows, Functional, OtherBias, Named, Tokens,
)  # fmt: skip
