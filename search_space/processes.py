"""Whether a process of this machine lives."""

from __future__ import annotations

import os


def lives(number: int) -> bool:
    """Whether there is a process of that number, whosever it is; always so where asking would end it."""
    if os.name != "posix":
        return True
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True
