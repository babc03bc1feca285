"""Microcontrollers that C sources run on: how much flash and RAM there is, and what of it is left for a network."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from bankwise.search_space.errors import InfeasibleBudget, unknown
from bankwise.search_space.shape import NetworkShape

CODE = 16384  # bytes of flash that are left for the network's code and the compiler's library that it calls
STACK = 1024  # bytes of RAM that are left for the stack
INPUT, LOGIT = {"float32": 4, "int8": 1}, {"float32": 4, "int8": 2}  # bytes of one, by activations


@dataclass(frozen=True)
class Chip:
    """Bytes of `flash` and `ram`, from the maker's data sheet `source`. An x of the name stands for any letter."""

    name: str
    core: str
    flash: int
    ram: int
    source: str

    @property
    def constants(self) -> int:
        """The most bytes of constant data: what is left of the flash for them."""
        return self.flash - CODE

    def fit(self, shape: NetworkShape, activations: str, arena: int) -> Fit:
        """An arena of so many bytes in the RAM. Raises InfeasibleBudget where it has no room."""
        image, logits = INPUT[activations] * math.prod(shape.input_shape), LOGIT[activations] * shape.classes
        fit = Fit(self, arena, image, logits)
        if fit.ram > self.ram:
            raise InfeasibleBudget(f"chip {self.name} has {self.ram:,} bytes of RAM, not {fit.ram:,}: {fit.parts}")
        return fit


@dataclass(frozen=True)
class Fit:
    """What a network takes of the RAM of `chip`, in bytes; image and logits are the caller's."""

    chip: Chip
    arena: int
    image: int
    logits: int

    @property
    def ram(self) -> int:
        return self.arena + self.image + self.logits + STACK

    @property
    def parts(self) -> str:
        """`ram` in words."""
        return f"arena {self.arena:,}, image {self.image:,}, logits {self.logits:,}, stack {STACK:,}"

    def check(self, constants: int) -> None:
        """InfeasibleBudget unless the flash has room for so many bytes of constant data."""
        if constants > self.chip.constants:
            raise InfeasibleBudget(
                f"chip {self.chip.name} has room for {self.chip.constants:,} bytes of constant data beside {CODE:,} of "
                f"code, not {constants:,}"
            )

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        own = {"arena_bytes": self.arena, "image_bytes": self.image, "logit_bytes": self.logits, "stack_bytes": STACK}
        return {"name": self.chip.name, "flash_bytes": self.chip.flash, "ram_bytes": self.chip.ram,
                "code_bytes": CODE, **own}  # fmt: skip


CHIPS = (
    Chip("STM32L031x6", "Cortex-M0+", 32 * 1024, 8 * 1024, "ST DS10668"),
    Chip("STM32F103x8", "Cortex-M3", 64 * 1024, 20 * 1024, "ST DS5319"),
    Chip("ATSAMD21G18", "Cortex-M0+", 256 * 1024, 32 * 1024, "Microchip DS40001882"),
    Chip("STM32F411xE", "Cortex-M4F", 512 * 1024, 128 * 1024, "ST DS10314"),
    Chip("nRF52840", "Cortex-M4F", 1024 * 1024, 256 * 1024, "Nordic nRF52840 Product Specification"),
    Chip("RP2040", "Cortex-M0+", 2048 * 1024, 264 * 1024, "Raspberry Pi Pico datasheet: flash of that board"),
)


def make_chip(name: str) -> Chip:
    """The chip of that name, or of a part number that begins so. Raises BankwiseError for an unknown one.

    >>> make_chip("stm32f411ret6").name
    'STM32F411xE'
    """
    for chip in CHIPS:
        if re.match(re.sub("x(?=.$)", ".", chip.name), name, re.IGNORECASE):
            return chip
    raise unknown("chip", name, [chip.name for chip in CHIPS])
