"""Choices in bytes, as a file holds them: a letter, then the fields in symbols of four bits.

A choice's text (`Choice.code`) becomes
- one byte: the letter in five bits, 1 to 26 for A to Z, and the number of bytes of the symbols in three; 7 stands for
  that many and more, of which a number (`number_bytes`) follows;
- where the letter is 0, the family is a user's own: a number and so many bytes of `module:Name`;
- the symbols, two a byte, the high one first: 0 to 9, then those of `_SYMBOLS`. `v` is followed by the place, in
  `search_space.vector.VECTORS`, of what the choice says of vectors; 15 fills the last byte.
"""

from __future__ import annotations

import re

from bankwise.search_space.families import FIELDS_CODE
from bankwise.search_space.vector import VECTORS

_SYMBOLS = (*"0123456789", ".", "x", ".3x3", ".1x1", "v")
_PLACES = {symbol: place for place, symbol in enumerate(_SYMBOLS)}
_FILL, _MANY = 15, 7
_TOKEN = re.compile(r"\.(?:3x3|1x1)(?![0-9])|[0-9.xv]")
_NAMES = tuple(VECTORS)


class Damaged(ValueError):
    """Bytes that say nothing."""


def number_bytes(number: int) -> bytes:
    """A whole number from 0 up: seven bits a byte, the lowest first; the highest bit says that more follow."""
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


class Reader:
    """Takes one thing after another from `data`. Every method raises Damaged where there is none."""

    def __init__(self, data: bytes):
        self._data, self.at = data, 0

    def bytes(self, count: int) -> bytes:
        if count > len(self._data) - self.at:
            raise Damaged
        self.at += count
        return self._data[self.at - count : self.at]

    def number(self) -> int:
        value = 0
        for place in range(0, 35, 7):
            (one,) = self.bytes(1)
            value |= (one & 127) << place
            if one < 128:
                return value
        raise Damaged

    def text(self) -> str:
        try:
            return self.bytes(self.number()).decode()
        except UnicodeDecodeError:
            raise Damaged from None

    def code(self) -> str:
        (first,) = self.bytes(1)
        letter, count = first >> 3, first & 7
        if letter > 26:
            raise Damaged
        if count == _MANY:
            count += self.number()
        family = f"{self.text()}/" if letter == 0 else chr(64 + letter)
        return family + _text(self.bytes(count))


def code_bytes(code: str) -> bytes:
    """The bytes of a choice's code."""
    reference, slash, fields = code.rpartition("/")
    letter = 0 if slash else ord(code[0]) - 64
    symbols = _packed(fields if slash else code[1:])
    count = min(len(symbols), _MANY)
    more = number_bytes(len(symbols) - _MANY) if count == _MANY else b""
    return bytes([letter << 3 | count]) + more + (text_bytes(reference) if slash else b"") + symbols


def text_bytes(text: str) -> bytes:
    """A number and so many bytes of UTF-8."""
    data = text.encode()
    return number_bytes(len(data)) + data


def _packed(fields: str) -> bytes:
    split = FIELDS_CODE.fullmatch(fields)
    if split is None:
        raise ValueError(f"{fields!r} are no fields of a choice")
    said = "" if split[2] is None else f"v{_NAMES.index(split[2])}"
    places = [_PLACES[token] for token in _TOKEN.findall(split[1] + said)]
    places += [_FILL] * (len(places) % 2)
    return bytes(high << 4 | low for high, low in zip(places[::2], places[1::2], strict=True))


def _text(packed: bytes) -> str:
    places = [place for one in packed for place in (one >> 4, one & 15)]
    if places and places[-1] == _FILL:
        places.pop()
    if _FILL in places:
        raise Damaged
    fields, marker, said = "".join(_SYMBOLS[place] for place in places).partition("v")
    if not marker:
        return fields
    if not re.fullmatch(f"[0-{len(_NAMES) - 1}]", said):
        raise Damaged
    return fields + _NAMES[int(said)]
