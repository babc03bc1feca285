"""What the families with a bank share: k filters of s channels and t_h x t_w taps, and the slots that they fill."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.choice import Choice, Operations, convolution
from bankwise.search_space.families.in_c import Fields, Packed
from bankwise.search_space.families.uniform_rule import SameBank, UniformRule
from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings


@dataclass(frozen=True)
class BankChoice(Choice):
    """A bank of k filters. A filter of the layer has q = (c/s)(d_h/t_h)(d_w/t_w) slots."""

    k: int
    s: int
    tile: tuple[int, int]

    conversion: ClassVar[Literal["every", "few", "never"]] = "few"
    uniform: ClassVar[UniformRule] = SameBank()

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

    def kernel_parts(self, shape: LayerShape) -> int:
        return math.prod(shape.kernel) // math.prod(self.tile)

    @property
    def bank_size(self) -> tuple[int, int]:
        return self.k, self.s

    def proxies(self, shape: LayerShape) -> int:
        return self.k * self.slots(shape)

    def check_codes(self, codes: Mapping[str, torch.Tensor]) -> None:
        if self.k > 1 and codes["indices"].max() >= self.k:
            raise BankwiseError(f"damaged: index {codes['indices'].max().item()} of a bank of {self.k} filters")

    def label(self) -> str:
        return f"k={self.k} s={self.s} {self.tile[0]}×{self.tile[1]}"

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

        Maps are computed once at every position that some tile offset reads; k (c/s) of them are kept.
        """
        if run == "materialized":
            return convolution(shape)
        places = sum(calls * self._places(shape, size) for size, calls in shape.out_sizes)
        channels = shape.c * shape.groups
        additions = self.k * channels * math.prod(self.tile) * places + self.slots(shape) * shape.positions
        return Operations(0, additions, 4 * self.k * (channels // self.s) * self._places(shape, shape.out_size))

    def c_fields(self, packed: Packed) -> Fields:
        """What C reads of a bank: its sizes, pointers to bank and indices. A part of no bits is not read."""
        at, (height, width) = packed.at, self.tile
        numbers = {"k": self.k, "s": self.s, "th": height, "tw": width, "index_bits": self.index_bits}
        return numbers | {name: at.get(name, at["bank"]) for name in ("bank", "indices")}

    def _places(self, shape: LayerShape, size: tuple[int, int]) -> int:
        """Map positions that an output of that size reads."""
        return math.prod(
            map_length(size[i], shape.stride[i], self.tile[i], shape.kernel[i], shape.dilation[i]) for i in (0, 1)
        )


def slot_sizes(layer: LayerShape, settings: SpaceSettings) -> Iterator[tuple[int, tuple[int, int]]]:
    """Every (s, tile) that divides the layer's channels and kernel; the tiles of the settings, where they list some."""
    tiles = settings.tiles or [(h, w) for h in divisors(layer.kernel[0]) for w in divisors(layer.kernel[1])]
    for tile in tiles:
        if not (layer.kernel[0] % tile[0] or layer.kernel[1] % tile[1]):
            for s in divisors(layer.c):
                yield s, tile


def divisors(number: int) -> list[int]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


@lru_cache(maxsize=4096)
def map_length(out: int, stride: int, tile: int, kernel: int, dilation: int) -> int:
    """Distinct map positions along one axis read by the kernel/tile offsets of `out` outputs.

    For stride 1, no dilation and out >= tile this is out + kernel - tile; for one tile it is out. In general the tile
    that starts at `step` reads every stride-th position from there, `out` of them: tiles whose steps leave the same
    rest by the stride read from one row, where they may meet.
    """
    length = 0
    begun: dict[int, int] = {}
    for step in range(0, kernel // tile * tile * dilation, tile * dilation):
        place, rest = divmod(step, stride)
        length += min(out, place - begun[rest]) if rest in begun else out
        begun[rest] = place
    return length
