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
    "TUNE_GLOBAL_CHECKPOINT_S": "1",  # seconds between two savings of Ray's state
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ray is quiet and saves its state often; environment and log level come back at the end."""
    before = {name: os.environ.get(name) for name in SETTINGS}
    logger = logging.getLogger("ray")
    level = logger.level
    os.environ.update(SETTINGS)
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
