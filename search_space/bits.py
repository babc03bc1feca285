"""Codes of b bits each, packed without gaps, most significant bit first."""

from __future__ import annotations

import math

import numpy as np
import torch

_BLOCK = 2**18  # codes spread out to bits at a time; a multiple of 8, so that a block ends on a byte


def pack_codes(codes: torch.Tensor, bits: int) -> bytes:
    """Pack int64 codes in [0, 2^bits); the last byte is filled with zero bits."""
    flat = codes.reshape(-1).numpy()
    if flat.size and (flat.min() < 0 or flat.max() >= 2**bits):
        raise ValueError(f"a code outside 0..{2**bits - 1}: {flat.min()}..{flat.max()}")
    if bits in (8, 16, 32):
        return flat.astype(f">u{bits // 8}").tobytes()
    shifts = np.arange(bits - 1, -1, -1)
    blocks = (flat[start : start + _BLOCK, None] for start in range(0, flat.size, _BLOCK))
    return b"".join(np.packbits(((block >> shifts) & 1).astype(np.uint8)).tobytes() for block in blocks)


def unpack_codes(payload: bytes, offset: int, shape: tuple[int, ...], bits: int) -> torch.Tensor:
    """The inverse of `pack_codes`, from byte `offset`, as int64 of `shape`."""
    count = math.prod(shape)
    if bits in (8, 16, 32):
        flat = np.frombuffer(payload, f">u{bits // 8}", count, offset).astype(np.int64)
    else:
        raw = np.frombuffer(payload, np.uint8, -(-count * bits // 8), offset)
        flat, powers = np.empty(count, np.int64), 1 << np.arange(bits - 1, -1, -1, dtype=np.int64)
        for start in range(0, count, _BLOCK):
            some = min(_BLOCK, count - start)
            table = np.unpackbits(raw[start * bits // 8 :], count=some * bits).reshape(some, bits)
            flat[start : start + some] = table.astype(np.int64) @ powers
    return torch.from_numpy(flat).reshape(shape)
