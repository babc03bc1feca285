"""Exact linear algebra over GF(2), where 1 + 1 = 0, on rows of packed bits: 64 columns a machine word.

A matrix is a boolean array (h, w). One elimination serves all: rows are taken in order, and each row that is not yet
zero is added to every other row that has a one in its first column, its pivot. So a row that is zero at its turn is a
sum of rows before it, and the number of the others is the rank.
"""

from __future__ import annotations

import numpy as np

_WORD = 64


def rank(bits: np.ndarray, limit: int | None = None) -> int:
    """The rank; with `limit` the search ends there, and `limit + 1` means: above it."""
    return len(_eliminate(_pack(bits), None if limit is None else limit + 1, above=False)[0])


def entries_rank(rows: np.ndarray, columns: np.ndarray, limit: int | None = None) -> int:
    """The rank of the matrix whose ones are at (rows[i], columns[i]), each named once; `limit` as in `rank`."""
    if not len(rows):
        return 0
    (height, row), (width, column) = _numbered(rows), _numbered(columns)
    if height < width:  # fewer rows, fewer steps
        height, row, width, column = width, column, height, row
    packed = np.zeros((width, -(-height // _WORD)), np.uint64)
    np.bitwise_or.at(packed, (column, row // _WORD), np.uint64(1) << (row % _WORD).astype(np.uint64))
    return len(_eliminate(packed, None if limit is None else limit + 1, above=False)[0])


def factorize(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(left, right), boolean (h, rank) and (rank, w), whose product modulo 2 is `bits` exactly.

    `right` are the eliminated rows: in its pivot column each is the only one that is set. So the pivot columns of
    `bits` are the coefficients, `left`.
    """
    packed = _pack(bits)
    rows, pivots = _eliminate(packed, None, above=True)
    return bits[:, pivots], _unpack(packed[rows], bits.shape[1])


def outside(bits: np.ndarray, most: int) -> np.ndarray:
    """Which rows, (h,), are not in the span of the first `most` independent rows; without them the rank is `most`."""
    packed = _pack(bits)
    rows, _ = _eliminate(packed, most, above=False)
    left = np.asarray(packed.any(1))
    left[rows] = False
    return left


def _eliminate(packed: np.ndarray, most: int | None, above: bool) -> tuple[list[int], list[int]]:
    """Eliminate in place; the independent rows and their pivot columns, at most `most` of them.

    `above` clears the pivot columns of the rows before as well (Gauss-Jordan).
    """
    rows: list[int] = []
    pivots: list[int] = []
    for index in range(len(packed)):
        if most is not None and len(rows) >= most:
            break
        row = packed[index]
        word = int((row != 0).argmax())
        value = int(row[word])
        if not value:
            continue
        lowest = value & -value
        begin = 0 if above else index + 1
        hits = (packed[begin:, word] & np.uint64(lowest)).nonzero()[0] + begin
        if above:
            hits = hits[hits != index]
        if len(hits):
            packed[hits, word:] ^= row[word:]
        rows.append(index)
        pivots.append(_WORD * word + lowest.bit_length() - 1)
    return rows, pivots


def _numbered(places: np.ndarray) -> tuple[int, np.ndarray]:
    """How many different places there are, and the number of each entry's place among them."""
    different, numbers = np.unique(places, return_inverse=True)
    return len(different), numbers


def _pack(bits: np.ndarray) -> np.ndarray:
    """(h, w) -> uint64 (h, ceil(w / 64)), column j at bit j % 64 of word j // 64."""
    height, width = bits.shape
    octets = np.zeros((height, 8 * -(-width // _WORD)), np.uint8)
    octets[:, : -(-width // 8)] = np.packbits(bits, axis=1, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)


def _unpack(packed: np.ndarray, width: int) -> np.ndarray:
    octets = np.ascontiguousarray(packed).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=1, count=width, bitorder="little").astype(bool)
