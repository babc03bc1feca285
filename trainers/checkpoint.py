"""Checkpoints: written whole or not at all, checked to the last bit when they are read.

Layout: the line `bankwise checkpoint VERSION`, the line of the sha256 of what follows, then a `torch.save` archive of
plain tensors, numbers, strings, lists and dicts.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.files import write_bytes

MAGIC = b"bankwise checkpoint "
VERSION = 1
ADVICE = "delete it to start again"


def save_checkpoint(path: Path, state: Mapping[str, object], settings: Mapping[str, object] | None = None) -> None:
    """Write `state` and the JSON `settings` that it was made by. Where that fails, a full disk say, the old file stays.

    The fields of `state` are tensors and plain values, nested at will.
    """
    buffer = io.BytesIO()
    torch.save({"settings": json.dumps(dict(settings or {})), "state": dict(state)}, buffer)
    payload = buffer.getvalue()
    digest = hashlib.sha256(payload).hexdigest().encode()
    write_bytes(Path(path), MAGIC + b"%d\n" % VERSION + digest + b"\n" + payload)


def load_checkpoint(path: Path, settings: Mapping[str, object] | None = None) -> dict[str, Any]:
    """The state saved at `path`, on the CPU; no code in the file is run.

    With `settings`, an error unless the checkpoint was made by equal ones. A missing, damaged or foreign file is an
    error that says what to do.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BankwiseError(f"cannot read checkpoint {str(path)!r}: {error.strerror or error}") from None
    header, _, rest = data.partition(b"\n")
    digest, _, payload = rest.partition(b"\n")
    version = header.removeprefix(MAGIC)
    if not header.startswith(MAGIC) or not version.isdigit():
        raise BankwiseError(f"{str(path)!r} is not a bankwise checkpoint, or its start is damaged: {ADVICE}")
    if int(version) != VERSION:
        raise BankwiseError(
            f"checkpoint {str(path)!r} has version {int(version)}, this bankwise reads version {VERSION}: {ADVICE}"
        )
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise BankwiseError(f"checkpoint {str(path)!r} is truncated or damaged: {ADVICE}")
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        saved: dict[str, Any] = json.loads(content["settings"])
        state: dict[str, Any] = content["state"]
    except Exception as error:  # damaged pickles raise many kinds
        raise BankwiseError(
            f"checkpoint {str(path)!r} holds what no checkpoint does ({type(error).__name__}): {ADVICE}"
        ) from None
    if settings is not None:
        _compare(path, saved, json.loads(json.dumps(dict(settings))))
    return state


def _compare(path: Path, saved: dict[str, object], asked: dict[str, object]) -> None:
    """An error that names the first settings in which the checkpoint differs."""
    names = [name for name in {**asked, **saved} if saved.get(name) != asked.get(name)]
    if names:
        differences = ", ".join(f"{name} {short(saved.get(name))} (now {short(asked.get(name))})" for name in names[:3])
        raise BankwiseError(
            f"checkpoint {str(path)!r} was made by other settings: {differences}; use those, or {ADVICE}"
        )
