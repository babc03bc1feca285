"""How C reads a family's weight: what a family says of itself, so that no target that writes C knows families by name.

A layer's weight is never unpacked as a whole. C unpacks the taps of one filter and channel at a time, by a function

    static void NAME(const struct layer *l, int32_t f, int32_t c, weight_t *w)

that writes the d_h d_w taps of filter f and channel c (of its convolution group) as whole numbers, in rows. `weight_t`
is float where activations are, else int32_t. Of `struct layer` it reads the shape (`l->n`, `l->c`, `l->kh`, `l->kw`)
and what the family sets: the pointers `bank`, `indices` and `coefficients` to packed parts, the numbers `k`, `s`, `th`,
`tw`, `terms`, `step`, `first`, `bits`, `index_bits`, `coefficient_bits`. It may call the functions that it names in
`needs`: `code` (the i-th code of so many bits), `sign` (the i-th bit as 1 or -1), `half` and `single` (the i-th IEEE
number, a float) and `real` (a float as `weight_t`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.families.choice import Choice

Fields = Mapping[str, str | int]  # of `struct layer`: C expressions or numbers
_MOST_BITS, _MOST_DENOMINATOR = 8, 4096
_LARGEST = 2**15 - 1  # an int16_t of C


@dataclass(frozen=True)
class Packed:
    """What C has of a layer's choice: `at` are pointers to its parts, `name` is free for a function of its own."""

    at: Mapping[str, str]
    name: str


@dataclass(frozen=True)
class Plane:
    """The unpacking function and the `fields` that it reads. `text` is the function's, called `Packed.name`, where it
    is not one that all families share; `needs` are the functions that this one calls.

    The weight is what is written over `denominator`; no number written is beyond `largest` in magnitude. None: what is
    written are floats, by `real`, and no whole numbers.
    """

    function: str
    fields: Fields
    denominator: int = 1
    largest: int | None = 1
    text: str = ""
    needs: tuple[str, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if not 1 <= self.denominator <= _LARGEST:
            raise BankwiseError(f"in_c: denominator {self.denominator} must be from 1 to {_LARGEST:,}")


@dataclass(frozen=True)
class MergedBank:
    """A bank that C may run by split-transform-merge: k filters of s channels and a tile, `bits` a weight, levels from
    -1 to 1 in equal steps; slots of `terms` filters with `coefficient_bits` (0: none) each, plus or minus
    j / 2^(coefficient_bits - 1). `fields` are the pointers `bank`, `indices` and, where there are any, `coefficients`;
    codes are laid out as those of the family `sparse`."""

    k: int
    s: int
    tile: tuple[int, int]
    fields: Fields
    bits: int = 1
    terms: int = 1
    coefficient_bits: int = 0


def plane_of_codes(choice: Choice, shape: LayerShape, packed: Packed) -> Plane:
    """That of a family of one part with a code a weight, in the weight's order, whose values are equal steps: found by
    asking `choice.weight` for the value of every code.

    Raises:
        BankwiseError: the family is not one of these; it must say itself how C unpacks it.
    """
    parts = choice.parts(shape)
    plain = len(parts) == 1 and parts[0].elements == shape.weights and 1 <= parts[0].bits <= _MOST_BITS
    values = _values(choice, shape, parts[0]) if plain else None
    steps = None if values is None else _steps(values)
    if values is None or steps is None:
        raise BankwiseError(
            f"layer {shape.name}: family {choice.reference() or choice.family!r} does not say how C unpacks its weight "
            "(its method `in_c`)"
        )
    first, step, denominator = steps
    fields: Fields = {"bank": packed.at[parts[0].name], "bits": parts[0].bits, "step": step, "first": first}
    return Plane("plane_codes", fields, denominator, max(abs(first), abs(first + step * (len(values) - 1))))


def _values(choice: Choice, shape: LayerShape, part: Part) -> torch.Tensor | None:
    """The weight of every code that can be, (codes,); None where a weight depends on more than its own code."""
    count = next((code for code in range(2**part.bits) if not _possible(choice, part, code)), 2**part.bits)
    if count < 2:
        return None
    places, values = torch.arange(shape.weights), torch.zeros(count)
    orders = [(places + start) % count for start in range(0, count, shape.weights)]
    orders.append(torch.randint(count, (shape.weights,), generator=torch.Generator().manual_seed(0)))
    found = [choice.weight(shape, {part.name: codes.reshape(part.shape)}).flatten() for codes in orders]
    for codes, weight in zip(orders, found, strict=True):
        values[codes] = weight
    same = all(torch.equal(weight, values[codes]) for codes, weight in zip(orders, found, strict=True))
    return values if same else None


def _possible(choice: Choice, part: Part, code: int) -> bool:
    try:
        choice.check_codes({part.name: torch.full(part.shape, code)})
    except BankwiseError:
        return False
    return True


def _steps(values: torch.Tensor) -> tuple[int, int, int] | None:
    """(first, step, denominator): (first + step code) / denominator are the `values` of the codes, nearest float32s;
    None where no whole numbers of a denominator that C holds are."""
    first, second = (Fraction(float(value)).limit_denominator(_MOST_DENOMINATOR) for value in values[:2])
    denominator = math.lcm(first.denominator, second.denominator)
    if denominator > _LARGEST:
        return None
    start, step = int(first * denominator), int((second - first) * denominator)
    line = torch.tensor([(start + step * code) / denominator for code in range(len(values))])
    return (start, step, denominator) if step and torch.equal(line, values) else None
