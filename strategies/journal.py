"""The journal of a search's trials: a file of JSON lines that only grows. A line is on disk before it counts."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.strict import parse_json, read
from bankwise.trainers.store import check_metrics

VERSION = 1
FINISHED, FAILED, CANCELLED, IMPORTED = "finished", "failed", "cancelled", "imported"


@dataclass(frozen=True)
class _Line:
    """A line after the first, as files hold it."""

    event: str
    number: int | None = None
    plan: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    reason: str = ""
    note: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.event in (FINISHED, IMPORTED):
            check_metrics(self.metrics)


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The journal's lines and their bytes; a last one that a kill cut off is left out."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BankwiseError(error.strerror or str(error)) from None
    whole = data[: data.rfind(b"\n") + 1]
    found = []
    for number, text in enumerate(whole.splitlines(), 1):
        line = parse_json(text, f"damaged: line {number}")
        if number > 1:
            read(_Line, line, f"damaged: line {number}")
        elif not isinstance(line, dict):
            raise BankwiseError(f"damaged: line {number} is not a JSON object")
        found.append(line)
    if found and found[0].get("ledger") != VERSION:
        raise BankwiseError(f"version {short(found[0].get('ledger'))} is not known; this release reads {VERSION}")
    return found, len(whole)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """What is wrong with the journal at `path`, as one line."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        detail = error if isinstance(error, BankwiseError) else "not a journal of trials"
        raise BankwiseError(f"{str(path)!r}: {detail}; delete it to start the search again") from None


def append_line(path: Path, size: int, line: Mapping[str, Any]) -> int:
    """Write one line behind the first `size` bytes: what a kill cut off goes. It is on disk when this returns, the new
    size; or nothing is, and BankwiseError is raised."""
    data = json.dumps(line).encode() + b"\n"
    try:
        with open(path, "ab") as stream:
            stream.truncate(size)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise BankwiseError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    return size + len(data)
