"""Ends a tuner's process when the NNI manager that started it is gone.

NNI's own dispatcher goes on for ten seconds after its manager was killed, and attaches itself to the manager of the
resumed experiment if that takes the same port: that one then has two tuners, and fails.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.processes import lives
from bankwise.strategies.engines.nni.listed import listed

log = logging.getLogger("bankwise.nni")
SECONDS = 0.3


def watch(experiment: str) -> None:
    """Begin to watch the manager of NNI's `experiment`. Its number is in NNI's list: the parent is a mere shell."""
    threading.Thread(target=_watch, args=(experiment,), name="bankwise-watchdog", daemon=True).start()


def _watch(experiment: str) -> None:
    while (manager := _manager(experiment)) is None or lives(manager):
        time.sleep(SECONDS)
    log.error("NNI's manager (process %d) is gone: the tuner ends", manager)
    os._exit(1)


def _manager(experiment: str) -> int | None:
    try:
        return listed().get(experiment, {}).get("pid")
    except BankwiseError:  # just being written
        return None
