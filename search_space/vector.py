"""Floating-point vectors of the file: scales, shifts, biases and kept tensors.

At 16 or 32 bits they are IEEE numbers. At 8 bits a vector is 256 equal steps between its least and its largest
value, which are stored beside it in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from search_space.errors import BankwiseError
from search_space.part import Part

VECTOR_BITS = (8, 16, 32)
_INTEGER = {16: (torch.float16, torch.int16), 32: (torch.float32, torch.int32)}


def float_codes(values: torch.Tensor, bits: int) -> torch.Tensor:
    """The bit patterns of `values` in `bits`-bit IEEE format, as int64."""
    number, integer = _INTEGER[bits]
    rounded = values.detach().cpu().to(number).contiguous()
    if not torch.isfinite(rounded).all():
        raise BankwiseError(
            f"a stored value is not finite in {bits}-bit floating point (largest: {values.abs().max().item():g}); "
            "the training diverged, or more bits are needed"
        )
    return rounded.view(integer).long() & (2**bits - 1)


def float_values(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """The inverse of `float_codes`, as float32."""
    number, integer = _INTEGER[bits]
    signed = torch.where(codes >= 2 ** (bits - 1), codes - 2**bits, codes)
    return signed.to(integer).view(number).float()


def vector_parts(name: str, shape: tuple[int, ...], bits: int) -> tuple[Part, ...]:
    if bits == 8:
        return Part(name, shape, 8), Part(f"{name}.range", (2,), 16)
    return (Part(name, shape, bits),)


def vector_codes(name: str, values: torch.Tensor, bits: int) -> dict[str, torch.Tensor]:
    values = values.detach().cpu().float()
    if bits != 8:
        return {name: float_codes(values, bits)}
    bounds = float_codes(torch.stack(torch.aminmax(values)), 16)
    low, high = float_values(bounds, 16)
    step = (high - low).clamp(min=1e-12) / 255
    return {name: ((values - low) / step).round().clamp(0, 255).long(), f"{name}.range": bounds}


def vector_values(name: str, codes: Mapping[str, torch.Tensor], bits: int) -> torch.Tensor:
    if bits != 8:
        return float_values(codes[name], bits)
    low, high = float_values(codes[f"{name}.range"], 16)
    return low + codes[name].float() * ((high - low).clamp(min=1e-12) / 255)
