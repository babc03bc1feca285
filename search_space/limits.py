"""What a plan may take: bytes, and where given activation memory and operations. All of them are hard."""

from __future__ import annotations

from dataclasses import dataclass

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError


@dataclass(frozen=True)
class Limits:
    """`budget` in bytes of its accounting; `max_ram` the peak of activation bytes over the whole network and `max_ops`
    additions and multiplications, both of one image, None: no limit. In accountings `device` and `device-int8` these
    are the arena and the operations of C sources, else those of split-transform-merge, in float32.

    Raises:
        BankwiseError: a limit that is not a positive whole number.

    >>> Limits(Budget(2048), max_ram=16384)
    Limits(budget=Budget(bytes=2048, accounting='file'), max_ram=16384, max_ops=None)
    """

    budget: Budget
    max_ram: int | None = None
    max_ops: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_ram", "max_ops"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise BankwiseError(f"{name}: {value!r} is not a positive whole number")

    @classmethod
    def of(cls, limits: Limits | Budget) -> Limits:
        """A budget alone is limits without the others."""
        return cls(limits) if isinstance(limits, Budget) else limits
