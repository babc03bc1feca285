"""NNI's search space of an experiment, and what a user's edit of it leaves."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.encodings import BOX, PlanEncoding


def search_space(points: PlanEncoding, encoding: str) -> dict[str, dict[str, Any]]:
    """In NNI's terms: `choice` (a choice's code a layer) or `importance` (a number a layer)."""
    if encoding == "importance":
        return {name: {"_type": "uniform", "_value": list(BOX)} for name in points.names}
    return {name: {"_type": "choice", "_value": codes} for name, codes in points.codes.items()}


def kept_choices(points: PlanEncoding, edited: object) -> list[list[int]]:
    """The indices of each layer's choices that a search space of choices, edited by its user, leaves."""
    found = []
    for name, row in zip(points.names, points.values(edited), strict=True):
        codes = row.get("_value") if isinstance(row, Mapping) and row.get("_type") == "choice" else None
        if not isinstance(codes, list) or not codes:
            raise BankwiseError(f"layer {name!r}: {reprlib.repr(row)} is not a choice among codes")
        found.append(sorted({points.index(name, code) for code in codes}))
    return found
