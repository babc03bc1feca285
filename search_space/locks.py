"""One process at a time in a folder; the one that comes second is told who is there."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.files import TEMPORARY, sweep, write_text

LOCK, OWNER = "run.lock", "run.owner"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make `folder`, where it is missing, hold its lock, and remove what killed writers left in it.

    Raises BankwiseError where another process holds it, with that one's number and host, or where the folder cannot be
    written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise BankwiseError(
            f"{str(folder)!r} is in use by another process{_owner(folder)}; wait for it to end, or take another folder"
        ) from None
    except (OSError, NotImplementedError) as error:  # the latter of filelock, where a file system knows no locks
        reason = getattr(error, "strerror", None) or error
        raise BankwiseError(f"cannot make the folder {str(folder)!r} and lock it: {reason}") from None
    try:
        sweep(folder)
        write_text(folder / OWNER, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def is_left_by_lock(path: Path) -> bool:
    """Whether a file of a folder is of its lock, or what a killed writer left."""
    return path.name in (LOCK, OWNER) or path.name.startswith(TEMPORARY)


def _owner(folder: Path) -> str:
    """Who holds the lock; nothing where that cannot be read."""
    try:
        values = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f" (pid {int(values['pid'])} on {str(values['host'])[:60]!r})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
