"""A budget in words a user has for it, and the same in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from bankwise.search_space.accounting import Accounting, make_accounting
from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.sizes import BYTES, MOST, check_whole, split

UNITS = (*BYTES, "bpw", "x")


@dataclass(frozen=True)
class Budget:
    """At most `bytes` bytes of what `accounting` counts: the name of one of `search_space.accounting.ACCOUNTINGS` (the
    accounting itself is taken too, and kept by its name). Raises BankwiseError for another name."""

    bytes: int
    accounting: str = "file"

    def __post_init__(self) -> None:
        object.__setattr__(self, "accounting", make_accounting(self.accounting).name)

    @classmethod
    def parse(cls, text: str | int, shape: NetworkShape, accounting: str | Accounting = "file") -> Budget:
        """Read "4096", "1,000", "96KiB", "4K" (4,000), "0.1MB", "0.07bpw" (bits a weight of all layers) or "100x"
        (smaller than float32). Exact, cut to whole bytes.

        Raises:
            BankwiseError: the text is no size, or one of 0, of a part of a byte, or of 2^53 bytes or more.

        >>> from bankwise.search_space.networks import build
        >>> from bankwise.search_space.trace import trace
        >>> shape = trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10)
        >>> print(Budget.parse("2KiB", shape))
        2,048 bytes (file)
        """
        found = split(text, UNITS)
        if found is None:
            raise BankwiseError(f"budget {short(str(text))} is not a size; write 4096, 96KiB, 0.1MB, 0.07bpw or 100x")
        check_whole(text, "budget", found)
        number, unit = found
        if number == 0:
            raise BankwiseError(f"budget {short(str(text))} is zero; it must be positive")
        if unit == "bpw":
            size = number * shape.weights / 8
        elif unit == "x":
            size = Fraction(shape.float_bytes) / number
        else:
            size = number * BYTES[unit]
        if not size < MOST:
            raise BankwiseError(f"budget {short(str(text))} is too large; it must be below 2^53 bytes")
        return cls(int(size), make_accounting(accounting).name)

    def __str__(self) -> str:
        return f"{self.bytes:,} bytes ({self.accounting})"
