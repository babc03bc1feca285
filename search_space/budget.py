"""A budget in words a user has for it, and the same in bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from search_space.errors import BankwiseError
from search_space.shape import NetworkShape

_UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
ACCOUNTINGS = ("file", "paper")


@dataclass(frozen=True)
class Budget:
    """At most `bytes` bytes, counted over the whole file (`file`) or over banks and indices alone (`paper`)."""

    bytes: int
    accounting: str = "file"

    @classmethod
    def parse(cls, text: str | int, shape: NetworkShape, accounting: str = "file") -> Budget:
        """Read "4096", "96KiB", "0.1MB", "0.07bpw" (bits a weight of all layers) or "100x" (smaller than float32)."""
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Z]*)\s*", str(text))
        unit = match[2].lower() if match else None
        if match is None or unit not in (*_UNITS, "bpw", "x"):
            raise BankwiseError(f"budget {str(text)!r} is not a size; write 4096, 96KiB, 0.1MB, 0.07bpw or 100x")
        if accounting not in ACCOUNTINGS:
            raise BankwiseError(f"accounting {accounting!r} is not one of {', '.join(ACCOUNTINGS)}")
        number = float(match[1])
        if number == 0:
            raise BankwiseError(f"budget {str(text)!r} is zero; it must be positive")
        if unit == "bpw":
            size = number * shape.weights / 8
        elif unit == "x":
            size = shape.float_bytes / number
        else:
            size = number * _UNITS[unit]
        if not size < 2**53:
            raise BankwiseError(f"budget {str(text)!r} is too large; it must be below 2^53 bytes")
        return cls(int(size + 1e-6), accounting)

    def __str__(self) -> str:
        return f"{self.bytes:,} bytes ({self.accounting})"
