"""Whether what a folder recorded is what is there now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from bankwise.search_space.errors import short

# Where the same images lie (their checksums say that they are the same), and where and how a process ran.
ANYWHERE = ("source.data_root", "made_in", "deadline")


def differences(there: object, now: object, name: str = "") -> Iterator[str]:
    """What differs between two JSON values, each by its dotted name. Numbers with a fraction are equal to rounding."""
    if name in ANYWHERE:
        return
    if isinstance(there, Mapping) and isinstance(now, Mapping):
        for key in sorted(there.keys() | now.keys()):
            yield from differences(there.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif not _equal(there, now):
        yield f"{name}: {short(there)} there, {short(now)} now"


def _equal(there: object, now: object) -> bool:
    if isinstance(there, list) and isinstance(now, list):
        return len(there) == len(now) and all(map(_equal, there, now))
    if isinstance(there, float) and isinstance(now, float):
        return math.isclose(there, now, rel_tol=1e-3, abs_tol=1e-5)
    return there == now
