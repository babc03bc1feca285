"""Sizes in words a user has for them: "4096", "1,000", "1e3", "96KiB", "0.1MB", "4K" (bytes), "5M" (counts). Exact: no
float between. K, M and G are powers of a thousand, as KB, MB and GB are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

from bankwise.search_space.errors import BankwiseError, short

COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
BYTES = COUNTS | {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
MOST = 2**53  # sizes are below it: exact as JSON numbers too


def parse_bytes(text: str | int, what: str) -> int:
    """Bytes, such as 64KiB, cut to a whole number. `what` names the size in errors, such as "--max-ram"."""
    return _parse(text, what, BYTES)


def parse_count(text: str | int, what: str) -> int:
    """A count, such as 5M, cut to a whole number. `what` names it in errors, such as "--max-ops"."""
    return _parse(text, what, COUNTS)


def _parse(text: str | int, what: str, units: Mapping[str, int]) -> int:
    found = split(text, units)
    check_whole(text, what, found, units)
    value = 0 if found is None else min(int(found[0] * units[found[1]]), MOST)
    if value < 1:
        known = ", ".join(name for name in units if name)
        raise BankwiseError(f"{what} {short(str(text))} is not a positive number, alone or with one of {known}")
    if value == MOST:
        raise BankwiseError(f"{what} {short(str(text))} is too large; it must be below 2^53")
    return value


def check_whole(
    text: str | int, what: str, found: tuple[Fraction, str] | None, units: Mapping[str, int] = BYTES
) -> None:
    """Raises BankwiseError for a part of a byte or of a count, such as 900.5: only a larger unit can be cut."""
    if found is not None and units.get(found[1]) == 1 and found[0].denominator > 1:
        low = int(found[0])
        right = f"{low:,} or {low + 1:,}" if low else "1"
        raise BankwiseError(f"{what} {short(str(text))} is not a whole number; write {right}")


def split(text: str | int, units: Iterable[str]) -> tuple[Fraction, str] | None:
    """The number and the one of `units` that follows it, in upper or lower case; None where the text is neither.

    A number of 2^53 or more is given as 2^53, however many digits it has.
    """
    match = re.fullmatch(rf"\s*((?:{_NUMBER})(?:[eE][+-]?[0-9]{{1,3}})?)\s*([a-zA-Z]*)\s*", str(text))
    unit = next((name for name in units if match and name.lower() == match[2].lower()), None)
    if match is None or unit is None:
        return None
    number = Decimal(match[1].replace(",", ""))
    return (Fraction(MOST) if number >= MOST else Fraction(number)), unit
