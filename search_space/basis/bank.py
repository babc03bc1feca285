"""What the families with a bank share: k filters of s channels and t_h x t_w taps, and the slots that they fill."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from search_space.basis.choice import Choice, Operations, convolution
from search_space.errors import BankwiseError
from search_space.shape import LayerShape


@dataclass(frozen=True)
class BankChoice(Choice):
    """A bank of k filters. A filter of the layer has q = (c/s)(d_h/t_h)(d_w/t_w) slots."""

    k: int
    s: int
    tile: tuple[int, int]

    def check(self, shape: LayerShape) -> None:
        if min(self.s, *self.tile) < 1:
            raise BankwiseError(f"s={self.s} tile={self.tile[0]}x{self.tile[1]} must be positive")
        if shape.c % self.s:
            allowed = ", ".join(map(str, divisors(shape.c)))
            raise BankwiseError(f"s={self.s} does not divide the layer's {shape.c} channels; allowed: {allowed}")
        if any(d % t for d, t in zip(shape.kernel, self.tile, strict=True)):
            raise BankwiseError(
                f"tile={self.tile[0]}x{self.tile[1]} does not divide the kernel {shape.kernel[0]}x{shape.kernel[1]}; "
                f"allowed: heights {divisors(shape.kernel[0])}, widths {divisors(shape.kernel[1])}"
            )
        most = min(2 ** min(self.distinct_bits, 62), self.slots(shape))
        if not self.least_k <= self.k <= most:
            raise BankwiseError(
                f"k={self.k} cannot pay: allowed are {self.least_k} to {most} bank filters "
                f"(2^{self.distinct_bits} distinct filters, {self.slots(shape)} slots)"
            )

    @property
    def least_k(self) -> int:
        """The smallest bank that leaves a slot a choice."""
        return 2

    @property
    def distinct_bits(self) -> int:
        """log2 of the filters worth telling apart."""
        return self.dimension

    @property
    def dimension(self) -> int:
        """Weights of one bank filter, s t_h t_w."""
        return self.s * self.tile[0] * self.tile[1]

    @property
    def index_bits(self) -> int:
        """ceil(log2 k), in integers."""
        return (self.k - 1).bit_length()

    def slots(self, shape: LayerShape) -> int:
        """Slots of all filters, n q."""
        return shape.weights // self.dimension

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """Split-transform-merge: k c t_h t_w additions per map position and n q per output position; no multiplication.

        Maps are computed once at every position that some tile offset reads; k (c/s) of them are held.
        """
        if run == "materialized":
            return convolution(shape)
        places = shape.calls * math.prod(
            map_length(shape.out_size[i], shape.stride[i], self.tile[i], shape.kernel[i], shape.dilation[i])
            for i in (0, 1)
        )
        channels = shape.c * shape.groups
        additions = self.k * channels * math.prod(self.tile) * places + self.slots(shape) * shape.positions
        return Operations(0, additions, 4 * self.k * (channels // self.s) * places // shape.calls)


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


@lru_cache(maxsize=4096)
def map_length(out: int, stride: int, tile: int, kernel: int, dilation: int) -> int:
    """Distinct map positions along one axis read by the kernel/tile offsets of `out` outputs.

    For stride 1, no dilation and out >= tile this is out + kernel - tile; for one tile it is out.
    """
    return len({o * stride + t * tile * dilation for o in range(out) for t in range(kernel // tile)})
