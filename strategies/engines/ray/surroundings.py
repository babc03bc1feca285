"""What is around a run of Ray Tune: its settings by environment, its log, Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator

SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: nothing is printed
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # no epoch of a training by several processes is shorter
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # it is `interruptible` here
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ray is quiet; environment and log level come back at the end."""
    logger = logging.getLogger("ray")
    level, before = logger.level, {name: os.environ[name] for name in SETTINGS if name in os.environ}
    os.environ.update(SETTINGS)
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name in SETTINGS:
            os.environ.pop(name, None)
        os.environ.update(before)


class Interrupted(Exception):
    """Ctrl-C, as an error that Ray Tune cleans up after: KeyboardInterrupt would leave its actors in the cluster."""


@contextlib.contextmanager
def interruptible(end: Callable[[Interrupted], None]) -> Iterator[None]:
    """At the first Ctrl-C call `end`, which is to raise what it gets soon; a second one ends at once.

    Tune's own handlers, which it leaves behind, are undone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGUSR1)}

    def interrupt(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        end(Interrupted())

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Interrupted:
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
