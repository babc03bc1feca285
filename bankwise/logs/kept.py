"""The id under which a service knows a run, kept in its folder: so that a run that goes on is the same one there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bankwise.search_space.files import write_text


def kept_id(folder: Path, service: str, make: Callable[[], str]) -> str:
    path = folder / "logs" / f"{service}-id.txt"
    if path.exists():
        return path.read_text(encoding="utf-8").strip()
    made = make()
    write_text(path, f"{made}\n")
    return made
