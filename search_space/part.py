"""A part: one packed array of the file, and the unit of every price."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """An array of `shape` whose elements take `bits` bits each.

    `paper` is true for what the papers count (bank and indices of compressed layers), `real` where the codes are the
    bit patterns of IEEE numbers (`vector.float_codes`): targets store these as such.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    paper: bool = False
    real: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def total_bits(self) -> int:
        return self.elements * self.bits

    @property
    def file_bytes(self) -> int:
        """Bytes in the file: each part starts on a byte."""
        return -(-self.total_bits // 8)
