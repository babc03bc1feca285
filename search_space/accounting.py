"""What a budget counts: one object an accounting, so that nothing else asks which one it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from torch import nn

from bankwise.search_space.errors import unknown
from bankwise.search_space.price import Price, PriceTable

if TYPE_CHECKING:
    from bankwise.search_space.space import SearchSpace
    from bankwise.search_space.targets.c.target import CTarget


class Accounting(ABC):
    """Costs are whole numbers of `unit`: the cost of a plan is a fixed cost and the sum of its choices' costs."""

    name: ClassVar[str]
    help: ClassVar[str]
    unit: ClassVar[Literal["bytes", "bits"]]

    @property
    def units_per_byte(self) -> int:
        return 8 if self.unit == "bits" else 1

    @abstractmethod
    def table(self, prices: PriceTable) -> tuple[np.ndarray, ...]:
        """What every choice of a space costs at its layer: int64 (choices,) a layer."""

    @abstractmethod
    def fixed(self, prices: PriceTable) -> int:
        """What every plan of a space costs, whatever its choices."""

    @abstractmethod
    def plan_cost(self, price: Price) -> int:
        """The cost of a priced plan."""

    def memory(self, space: SearchSpace, network: nn.Module | None = None) -> tuple[int, tuple[np.ndarray, ...]]:
        """What `max_ram` bounds, in bytes: the peak that any plan has at least, and that of every choice, int64
        (choices,) a layer. `network` is the module where the space is of one in memory.

        Activations in float32, layers by split-transform-merge.
        """
        return space.shape.peak_live_bytes, space.prices.merge_peak_bytes

    def operations(self, space: SearchSpace, network: nn.Module | None = None) -> tuple[np.ndarray, ...]:
        """What `max_ops` bounds: additions and multiplications of every choice for one image, int64 (choices,) a layer.

        By split-transform-merge.
        """
        pairs = zip(space.prices.additions, space.prices.multiplications, strict=True)
        return tuple(additions + multiplications for additions, multiplications in pairs)

    def capacity(self, budget_bytes: int) -> int:
        """The largest cost, the fixed one included, within a budget of that many bytes."""
        return budget_bytes * self.units_per_byte

    def in_bytes(self, cost: int) -> int:
        """A cost as it is shown: whole bytes, rounded up."""
        return -(-cost // self.units_per_byte)

    def plan_bytes(self, price: Price) -> int:
        """The cost of a priced plan in whole bytes, rounded up."""
        return self.in_bytes(self.plan_cost(price))


class FileAccounting(Accounting):
    name = "file"
    help = "every byte of the exported file"
    unit = "bytes"

    def table(self, prices: PriceTable) -> tuple[np.ndarray, ...]:
        return prices.file_bytes

    def fixed(self, prices: PriceTable) -> int:
        return prices.fixed_file_bytes

    def plan_cost(self, price: Price) -> int:
        return price.file_bytes


class PaperAccounting(Accounting):
    name = "paper"
    help = "banks and indices alone"
    unit = "bits"

    def table(self, prices: PriceTable) -> tuple[np.ndarray, ...]:
        return prices.paper_bits

    def fixed(self, prices: PriceTable) -> int:
        return 0

    def plan_cost(self, price: Price) -> int:
        return price.paper_bits


class DeviceAccounting(Accounting):
    name = "device"
    help = "the constant data of C sources"
    unit = "bytes"
    activations = "float32"

    def memory(self, space: SearchSpace, network: nn.Module | None = None) -> tuple[int, tuple[np.ndarray, ...]]:
        """The arena, which no choice changes. Raises BankwiseError where the network cannot run in C."""
        from bankwise.search_space.targets.c.footprint import footprint

        arena = footprint(self._target(network), space, operations=False).arena_bytes
        return arena, tuple(np.full(size, arena, dtype=np.int64) for size in space.sizes)

    def operations(self, space: SearchSpace, network: nn.Module | None = None) -> tuple[np.ndarray, ...]:
        """By the way in which the sources run the choice. Raises BankwiseError where that cannot run in C."""
        from bankwise.search_space.targets.c.footprint import footprint

        return footprint(self._target(network), space).operations

    def _target(self, network: nn.Module | None) -> CTarget:
        from bankwise.search_space.targets.c.target import CTarget

        return CTarget(network, self.activations)

    def table(self, prices: PriceTable) -> tuple[np.ndarray, ...]:
        return prices.device_bytes

    def fixed(self, prices: PriceTable) -> int:
        return prices.fixed_device_bytes

    def plan_cost(self, price: Price) -> int:
        return price.device_bytes


class Int8DeviceAccounting(DeviceAccounting):
    """The same bytes: activations only change memory and operations."""

    name = "device-int8"
    help = "the same, with int8 activations in the arena"
    activations = "int8"


FILE, PAPER, DEVICE, INT8_DEVICE = FileAccounting(), PaperAccounting(), DeviceAccounting(), Int8DeviceAccounting()
ACCOUNTINGS: tuple[Accounting, ...] = (FILE, PAPER, DEVICE, INT8_DEVICE)


def make_accounting(accounting: str | Accounting) -> Accounting:
    """The accounting of that name, or the given one. Raises BankwiseError for an unknown name."""
    for one in ACCOUNTINGS:
        if accounting is one or accounting == one.name:
            return one
    if isinstance(accounting, Accounting):
        return accounting
    raise unknown("accounting", accounting, [one.name for one in ACCOUNTINGS])
