"""Shapes of a network's layers: all that a price may depend on.

Notation follows the papers: a convolution has n filters of c input channels (per convolution group) and d_h x d_w
taps. A linear layer is a convolution of 1 x 1 taps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bankwise.search_space.errors import unknown

HALF = 16  # bits of tensors kept in floating point
# Those of whole numbers that are kept, by their type in torch; int64 is what indices are, of values that 32 bits hold.
INTEGERS = {"bool": 1, "uint8": 8, "int8": 8, "int16": 16, "int32": 32, "int64": 32}


@dataclass(frozen=True)
class LayerShape:
    """One convolution or linear layer.

    `name` is the module's path in the network. `normalized` is true where a batch norm is the layer's direct consumer:
    then the norm carries the filters' scale and the layer's bias is redundant; `norm` is its name where its price is
    the layer's. `in_size` and `out_size` are (height, width) of the maps for one image (a linear layer has
    (positions, 1)), the largest where it is used at several; `uses` are then the sizes of the output and how often
    each. `calls` is how often one forward pass uses the layer.
    `live_bytes` is the activation memory (float32, one image) alive while the layer runs: its input, its
    output and every tensor kept for later, such as a residual shortcut.
    """

    name: str
    kind: str  # "conv2d" or "linear"
    n: int
    c: int
    kernel: tuple[int, int] = (1, 1)
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    bias: bool = False
    normalized: bool = False
    norm: str = ""
    in_size: tuple[int, int] = (1, 1)
    out_size: tuple[int, int] = (1, 1)
    calls: int = 1
    live_bytes: int = 0
    uses: tuple[tuple[tuple[int, int], int], ...] = ()

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(n, c, d_h, d_w)."""
        return (self.n, self.c, *self.kernel)

    @property
    def weights(self) -> int:
        return math.prod(self.weight_shape)

    @property
    def extra_padding(self) -> tuple[int, int]:
        """Rows and columns padded behind the map beyond `padding`: one where padding="same" cannot be even."""
        extent = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
        uneven = [self.in_size[i] == self.out_size[i] and 2 * self.padding[i] + 1 == extent[i] for i in (0, 1)]
        return int(uneven[0]), int(uneven[1])

    @property
    def out_sizes(self) -> tuple[tuple[tuple[int, int], int], ...]:
        """The (height, width) of its outputs for one image, and the calls that give each."""
        return self.uses or ((self.out_size, self.calls),)

    @property
    def positions(self) -> int:
        """Output positions of one image over all calls."""
        return sum(height * width * calls for (height, width), calls in self.out_sizes)


@dataclass(frozen=True)
class NormShape:
    """A batch norm over `channels`; a deployed network keeps its folded scale and shift."""

    name: str
    channels: int


@dataclass(frozen=True)
class TensorShape:
    """A parameter or buffer kept as it is: layer norms, embeddings, what the user asked to keep.

    `dtype` is "float", stored in half precision, or one of `INTEGERS`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float"

    @property
    def bits(self) -> int:
        """Those that each element takes in a file."""
        return INTEGERS.get(self.dtype, HALF)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class NetworkShape:
    """A whole network as it is priced: `network` names how to build it (see `bankwise.search_space.networks`)."""

    network: str
    input_shape: tuple[int, int, int]  # channels, height, width
    classes: int
    layers: tuple[LayerShape, ...]
    norms: tuple[NormShape, ...]
    tensors: tuple[TensorShape, ...]
    peak_live_bytes: int  # activation peak of one image over every operation, materialized
    keep: tuple[str, ...] = ()  # patterns of modules kept in floating point, as traced
    other_work: int = 0  # multiplications of one image outside the layers, each with its addition
    uncounted: tuple[str, ...] = ()  # operations of torch whose work is not known

    @property
    def weights(self) -> int:
        """Weights of all convolutions and linear layers."""
        return sum(layer.weights for layer in self.layers)

    @property
    def float_bytes(self) -> int:
        """Bytes of the uncompressed network in float32: weights, biases, norms (scale and shift), kept tensors."""
        biases = sum(layer.n for layer in self.layers if layer.bias and not layer.normalized)
        norms = sum(2 * norm.channels for norm in self.norms)
        return 4 * (self.weights + biases + norms + sum(tensor.elements for tensor in self.tensors))

    def layer(self, name: str) -> LayerShape:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise unknown("layer", name, [layer.name for layer in self.layers])
