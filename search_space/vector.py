"""Vectors of the file: scales, shifts, biases, and tensors kept as they are.

How the vectors of a layer (with the batch norm behind it) are stored is a choice of the plan: one of `VECTORS`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.part import Part
from bankwise.search_space.shape import HALF, INTEGERS, TensorShape

VECTOR_BITS = (4, 8, 16, 32)  # of a whole plan, where a layer's choice says nothing else
# Standard deviation of the channels over their root mean square, of trained networks (results/vectors).
SCALE_SPREAD, SHIFT_SPREAD = 0.15, 0.9
_INTEGER = {16: (torch.float16, torch.int16), 32: (torch.float32, torch.int32)}
_LEAST = 1e-12


class NotFinite(BankwiseError):
    """A value that its bits do not hold, as after a training that diverged."""


def float_codes(values: torch.Tensor, bits: int) -> torch.Tensor:
    """The bit patterns of `values` in `bits`-bit IEEE format, as int64."""
    number, integer = _INTEGER[bits]
    rounded = values.detach().to(number).contiguous()
    if not torch.isfinite(rounded).all():
        raise NotFinite(
            f"a stored value is not finite in {bits}-bit floating point (largest: {values.abs().max().item():g}); "
            "the training diverged, or more bits are needed"
        )
    codes: torch.Tensor = rounded.view(integer).long() & (2**bits - 1)
    return codes


def float_values(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """The inverse of `float_codes`, as float32. float32 in place of codes is given back: a target may keep real
    numbers as such."""
    if codes.is_floating_point():
        return codes
    number, integer = _INTEGER[bits]
    signed = torch.where(codes >= 2 ** (bits - 1), codes - 2**bits, codes)
    return signed.to(integer).view(number).float()


class Storage(ABC):
    """How one vector (channels,) is stored. `kernel` is the C function that reads it."""

    @property
    @abstractmethod
    def kernel(self) -> str: ...

    @abstractmethod
    def parts(self, name: str, channels: int) -> tuple[Part, ...]:
        """What it takes; the first part has the vector's name."""

    @abstractmethod
    def codes(self, name: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
        """The contents of its parts. Raises NotFinite."""

    @abstractmethod
    def values(self, name: str, codes: Mapping[str, torch.Tensor], channels: int) -> torch.Tensor:
        """The inverse of `codes`, float32 (channels,)."""

    @abstractmethod
    def loss(self, channels: int, spread: float) -> float:
        """The share of the vector's energy that its rounding loses, in closed form; `spread` is the standard deviation
        of the channels over their root mean square."""

    @abstractmethod
    def rounded(self, values: torch.Tensor) -> torch.Tensor:
        """`values` of the `codes` of (channels,), without their detour: trainings round in every step. Of what is not
        finite, or not in half precision, something that is not finite."""


@dataclass(frozen=True)
class Ieee(Storage):
    """Numbers of IEEE 754 in 16 or 32 bits."""

    bits: int

    @property
    def kernel(self) -> str:
        return f"vector{self.bits}"

    def parts(self, name: str, channels: int) -> tuple[Part, ...]:
        return (Part(name, (channels,), self.bits, real=True),)

    def codes(self, name: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: float_codes(values.float(), self.bits)}

    def values(self, name: str, codes: Mapping[str, torch.Tensor], channels: int) -> torch.Tensor:
        return float_values(codes[name], self.bits)

    def rounded(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(_INTEGER[self.bits][0]).to(values.dtype)

    def loss(self, channels: int, spread: float) -> float:
        return 0.0


@dataclass(frozen=True)
class Steps(Storage):
    """2^bits equal steps from the least to the largest value, `.range`, which are stored in half precision."""

    bits: int

    @property
    def kernel(self) -> str:
        return f"vector{self.bits}"

    def parts(self, name: str, channels: int) -> tuple[Part, ...]:
        return Part(name, (channels,), self.bits), Part(f"{name}.range", (2,), HALF, real=True)

    def codes(self, name: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
        values = values.detach().float()
        bounds = float_codes(torch.stack(torch.aminmax(values)), HALF)
        low, high = float_values(bounds, HALF)
        top = 2**self.bits - 1
        step = (high - low).clamp(min=_LEAST) / top
        return {name: ((values - low) / step).round().clamp(0, top).long(), f"{name}.range": bounds}

    def values(self, name: str, codes: Mapping[str, torch.Tensor], channels: int) -> torch.Tensor:
        mine = codes[name]
        if mine.is_floating_point():  # a target that stores the range beside it
            return mine
        return ranged_values(mine, float_values(codes[f"{name}.range"], HALF), self.bits)

    def rounded(self, values: torch.Tensor) -> torch.Tensor:
        low, high = torch.stack(torch.aminmax(values)).half().float()
        top = 2**self.bits - 1
        step = (high - low).clamp(min=_LEAST) / top
        found: torch.Tensor = low + ((values - low) / step).round().clamp(0, top) * step
        return found.to(values.dtype)

    def loss(self, channels: int, spread: float) -> float:
        """A step's square over 12; the channels of a Gaussian spread span about 2 sqrt(2 ln channels) deviations."""
        steps: int = 2**self.bits - 1
        step = spread * 2 * math.sqrt(2 * math.log(max(2, channels))) / steps
        return step * step / 12


@dataclass(frozen=True)
class Powers(Storage):
    """The largest of them, `.top` in half precision, over a power of two, 2^0 to 2^7, with a sign: 4 bits."""

    kernel = "vector_powers"

    def parts(self, name: str, channels: int) -> tuple[Part, ...]:
        return Part(name, (channels,), 4), Part(f"{name}.top", (1,), HALF, real=True)

    def codes(self, name: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
        values = values.detach().float()
        top = float_codes(values.abs().max().reshape(1), HALF)
        ratio = values.abs().clamp(min=_LEAST) / float_values(top, HALF).clamp(min=_LEAST)
        return {name: (-ratio.log2()).round().clamp(0, 7).long() + 8 * (values < 0), f"{name}.top": top}

    def values(self, name: str, codes: Mapping[str, torch.Tensor], channels: int) -> torch.Tensor:
        signed = 1.0 - 2.0 * (codes[name] >= 8)
        return signed * float_values(codes[f"{name}.top"], HALF) / 2.0 ** (codes[name] % 8)

    def rounded(self, values: torch.Tensor) -> torch.Tensor:
        sizes = values.abs().float()
        top = sizes.max().half().float()
        power = (-(sizes.clamp(min=_LEAST) / top.clamp(min=_LEAST)).log2()).round().clamp(0, 7)
        signs = torch.where(values < 0, -1.0, 1.0)
        return torch.copysign(top / 2.0**power, signs).to(values.dtype)

    def loss(self, channels: int, spread: float) -> float:
        """The mean of (2^u - 1)^2 for u evenly in -1/2 to 1/2."""
        return 1.5 / (2 * math.log(2)) - 2 * (math.sqrt(2) - math.sqrt(0.5)) / math.log(2) + 1


@dataclass(frozen=True)
class Shared(Storage):
    """One number for all channels, their mean, in half precision."""

    kernel = "vector_shared"

    def parts(self, name: str, channels: int) -> tuple[Part, ...]:
        return (Part(name, (1,), HALF, real=True),)

    def codes(self, name: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: float_codes(values.float().mean().reshape(1), HALF)}

    def values(self, name: str, codes: Mapping[str, torch.Tensor], channels: int) -> torch.Tensor:
        return float_values(codes[name], HALF).expand(channels)

    def rounded(self, values: torch.Tensor) -> torch.Tensor:
        return values.float().mean().half().to(values.dtype).expand(len(values))

    def loss(self, channels: int, spread: float) -> float:
        return spread * spread


@dataclass(frozen=True)
class Vectors:
    """How the vectors of a layer are stored: its filters' scales, and its shifts or biases. `name` as plans write it,
    `coarse` where a training must know of the rounding."""

    name: str
    scale: Storage
    shift: Storage
    coarse: bool = False

    @property
    def shared(self) -> bool:
        """Whether all filters of a layer have one scale."""
        return isinstance(self.scale, Shared)

    def kept(self, channels: int) -> float:
        """The share of energy that both leave, in closed form."""
        return (1 - self.scale.loss(channels, SCALE_SPREAD)) * (1 - self.shift.loss(channels, SHIFT_SPREAD))


# Their places are what a file holds of the names.
VECTORS: dict[str, Vectors] = {
    one.name: one
    for one in (
        Vectors("v32", Ieee(32), Ieee(32)),
        Vectors("v16", Ieee(16), Ieee(16)),
        Vectors("v8", Steps(8), Steps(8)),
        Vectors("v4", Steps(4), Steps(4), coarse=True),
        Vectors("s8", Shared(), Steps(8), coarse=True),
        Vectors("s4", Shared(), Steps(4), coarse=True),
        Vectors("p8", Powers(), Steps(8), coarse=True),
        Vectors("p4", Powers(), Steps(4), coarse=True),
    )
}


def ranged_values(codes: torch.Tensor, bounds: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes (..., C) of 2^bits steps between `bounds` (..., 2), the least and the largest value."""
    low, high = bounds.split(1, -1)
    values: torch.Tensor = low + codes.float() * ((high - low).clamp(min=_LEAST) / (2**bits - 1))
    return values


def kept_codes(tensor: TensorShape, values: torch.Tensor) -> torch.Tensor:
    """The codes of a kept tensor: half precision, or whole numbers in two's complement.

    Raises:
        BankwiseError: a value that its bits do not hold.
    """
    try:
        if tensor.dtype not in INTEGERS:
            return float_codes(values.float(), HALF)
    except NotFinite as error:
        raise NotFinite(f"{tensor.name}: {error}") from None
    whole = values.detach().long()
    codes: torch.Tensor = whole & (2**tensor.bits - 1)
    if not torch.equal(_signed(tensor, codes), whole):
        raise BankwiseError(f"{tensor.name}: a value beyond the {tensor.bits} bits that {tensor.dtype} is stored in")
    return codes


def kept_values(tensor: TensorShape, codes: torch.Tensor) -> torch.Tensor:
    """The inverse of `kept_codes`, in the type of the tensor, or float32."""
    if tensor.dtype not in INTEGERS:
        return float_values(codes, HALF)
    values: torch.Tensor = _signed(tensor, codes).to(getattr(torch, tensor.dtype))
    return values


def _signed(tensor: TensorShape, codes: torch.Tensor) -> torch.Tensor:
    if tensor.dtype in ("bool", "uint8"):
        return codes
    signed: torch.Tensor = torch.where(codes >= 2 ** (tensor.bits - 1), codes - 2**tensor.bits, codes)
    return signed
