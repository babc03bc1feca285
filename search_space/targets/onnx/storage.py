"""How the parts of a plan lie in an ONNX model: those of as many bits one after another in one tensor, without gaps.

ONNX has no type of one bit, and each tensor and each operator takes tens of bytes of its own. So the parts share a few
tensors, which are unpacked at once: whole numbers of b bits in uint8, real numbers in their own type, and 8-bit vectors
of one length as the rows of a matrix, beside their ranges.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from bankwise.search_space.bits import pack_codes
from bankwise.search_space.packing import PlanCodes
from bankwise.search_space.part import Part
from bankwise.search_space.parts import plan_parts
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.target import Sizes
from bankwise.search_space.vector import ranged_values

_REAL = {16: (torch.float16, torch.int16), 32: (torch.float32, torch.int32)}
_EXACT_BITS = 24  # of the whole numbers that float32 holds
RANGE = ".range"  # what the name of a vector's range ends with

Key = tuple[str, str]  # (owner, part)
Stored = dict[str, torch.Tensor]  # the tensors of a model by name


@dataclass(frozen=True)
class Group(ABC):
    """Parts that are stored together, and unpacked by the same operations."""

    parts: tuple[tuple[str, Part], ...]

    @abstractmethod
    def stored(self, codes: PlanCodes) -> Stored:
        """The tensors that hold the parts' codes."""

    @abstractmethod
    def unpacked(self, stored: Stored) -> dict[Key, torch.Tensor]:
        """By operations that ONNX has: int64 codes where they are whole numbers, elsewhere float32 values."""

    def _flat(self, codes: PlanCodes) -> torch.Tensor:
        return torch.cat([codes[owner, part.name].reshape(-1) for owner, part in self.parts])

    def _split(self, values: torch.Tensor, behind: int = 0) -> dict[Key, torch.Tensor]:
        counts = [part.elements for _, part in self.parts] + [behind] * (behind > 0)
        split = values.split(counts) if len(counts) > 1 else (values,)
        return {
            (owner, part.name): one if len(part.shape) == 1 else one.reshape(part.shape)
            for (owner, part), one in zip(self.parts, split, strict=False)
        }


class Whole(Group):
    """Codes of whole numbers, all of the same bits."""

    @property
    def bits(self) -> int:
        return self.parts[0][1].bits

    @property
    def padding(self) -> int:
        """Codes behind the last part, so that whole codes fill whole bytes."""
        return -sum(part.elements for _, part in self.parts) % (8 // math.gcd(8, self.bits))

    def stored(self, codes: PlanCodes) -> Stored:
        flat = self._flat(codes)
        packed = pack_codes(torch.cat([flat, flat.new_zeros(self.padding)]), self.bits)
        return {f"bits{self.bits}": torch.from_numpy(np.frombuffer(packed, np.uint8).copy())}

    def unpacked(self, stored: Stored) -> dict[Key, torch.Tensor]:
        return self._split(unpacked(stored[f"bits{self.bits}"], self.bits), self.padding)


class Real(Group):
    """Numbers in half, or all in single precision."""

    def stored(self, codes: PlanCodes) -> Stored:
        bits = self.parts[0][1].bits
        number, pattern = _REAL[bits]
        return {f"float{bits}": self._flat(codes).to(pattern).view(number)}

    def unpacked(self, stored: Stored) -> dict[Key, torch.Tensor]:
        return self._split(stored[f"float{self.parts[0][1].bits}"].float())


class Ranged(Group):
    """8-bit vectors of one length: after each its range of two numbers in half precision."""

    @property
    def _length(self) -> int:
        return self.parts[0][1].elements

    def stored(self, codes: PlanCodes) -> Stored:
        vectors, ranges = type(self)(self.parts[::2]), type(self)(self.parts[1::2])
        number, pattern = _REAL[16]
        return {
            f"vectors{self._length}": vectors._flat(codes).to(torch.uint8).reshape(-1, self._length),
            f"ranges{self._length}": ranges._flat(codes).to(pattern).view(number).reshape(-1, 2),
        }

    def unpacked(self, stored: Stored) -> dict[Key, torch.Tensor]:
        codes, ranges = stored[f"vectors{self._length}"], stored[f"ranges{self._length}"]
        return type(self)(self.parts[::2])._split(ranged_values(codes, ranges.float(), 8).reshape(-1))


def unpacked(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes of `bits` bits from uint8 bytes (bytes,), by shifts and masks: the inverse of `bits.pack_codes`.

    Where codes do not fill a byte evenly they are put together from digits that do.
    """
    digit = math.gcd(bits, 8)
    if digit < 8:
        shifts = torch.tensor(range(8 - digit, -1, -digit), dtype=torch.uint8)
        packed = (packed[:, None] >> shifts) & torch.tensor(2**digit - 1, dtype=torch.uint8)
    if digit == bits:
        return packed.reshape(-1).long()
    exact = torch.float32 if bits <= _EXACT_BITS else torch.int64
    powers = torch.tensor([2**place for place in range(bits - digit, -1, -digit)], dtype=exact)
    return (packed.reshape(-1, bits // digit).to(exact) @ powers).long()


def layout(shape: NetworkShape, plan: Plan) -> list[Group]:
    """Every part of the plan in a group, but those without elements."""
    parts = {(owner, part.name): part for owner, part in plan_parts(shape, plan) if part.elements}
    ranges = {
        (owner, name): parts[owner, name + RANGE]
        for (owner, name), part in parts.items()
        if part.bits == 8 and (owner, name + RANGE) in parts and parts[owner, name + RANGE].real
    }
    groups: dict[tuple[type[Group], int], list[tuple[str, Part]]] = {}
    for (owner, name), part in parts.items():
        if (owner, name) in ranges:
            groups.setdefault((Ranged, part.elements), []).extend([(owner, part), (owner, ranges[owner, name])])
        elif (owner, name.removesuffix(RANGE)) not in ranges:
            groups.setdefault((Real if part.real else Whole, part.bits), []).append((owner, part))
    return [kind(tuple(some)) for (kind, _), some in groups.items()]


def sizes(groups: Iterable[Group]) -> Sizes:
    """Bytes of every part: a byte that two parts of a tensor share counts with the first. Padding is not a part's."""
    found: Sizes = {}
    for group in groups:
        filled: Counter[int] = Counter()  # bits by the width of the tensor's elements
        for owner, part in group.parts:
            before = filled[part.bits]
            filled[part.bits] += part.total_bits
            found[owner, part.name] = -(-filled[part.bits] // 8) - -(-before // 8)
    return found


def blank_codes(shape: NetworkShape, plan: Plan) -> dict[Key, torch.Tensor]:
    """Codes of all parts, which say nothing: a model's length does not depend on them."""
    return {(owner, part.name): torch.zeros(part.shape, dtype=torch.int64) for owner, part in plan_parts(shape, plan)}
