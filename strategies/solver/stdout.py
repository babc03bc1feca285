"""Stdout stays the program's own while C code runs that prints there, whatever its options, as HiGHS does at times."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator

_ONE_AT_A_TIME = threading.Lock()  # two that overlapped would restore each other's


@contextlib.contextmanager
def clean_stdout() -> Iterator[None]:
    """What C code writes to file descriptor 1 within the block is dropped, also what it has buffered at the end."""
    with _ONE_AT_A_TIME, contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError):  # a process without stdout has nothing to keep clean
            before = os.dup(1)
            undo.callback(os.close, before)
            _flush()
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 1)
            undo.callback(os.dup2, before, 1)
            undo.callback(_flush)
        yield


def _flush() -> None:
    """The buffers of C's own streams."""
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
