"""Processes that are handed work one after another, whichever of them die."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.engines.crew import ENDED, EPOCH, LOST, Crew, TaskFiles
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task


def work(task, message, report):
    """Its own pid and how many images it sees; dies, or refuses, where it is told to."""
    if message == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if message == "refuse":
        raise BankwiseError("it is refused")
    report(EpochReport(1, 1, 0.0, 0.5, 0.0))
    return os.getpid(), len(task.data.train_y), len(task.data.test()[1])


@pytest.fixture
def files(tmp_path: Path) -> TaskFiles:
    return TaskFiles.write(make_task("tiny", load_data("digits", limit=100), Recipe(epochs=1)), tmp_path)


def heard(crew: Crew, key: str) -> list[tuple[str, object]]:
    """All of a work until it ends."""
    found: list[tuple[str, object]] = []
    while not found or found[-1][0] not in (ENDED, LOST):
        found += [(what, value) for one, what, value in crew.heard() if one == key]
    return found


@pytest.mark.slow
def test_a_process_works_on_and_one_that_dies_takes_its_own_work_alone(files):
    with Crew(files, work, 1) as crew:
        crew.give("first", "work")
        (epoch, report), (_, (pid, images, test_images)) = heard(crew, "first")
        assert epoch == EPOCH and report.accuracy == 0.5 and images > 50 and test_images == 0, "no trial sees them"
        crew.give("second", "die")
        assert heard(crew, "second") == [(LOST, None)]
        crew.give("third", "work")
        _, (_, (other, *_)) = heard(crew, "third")
        assert other != pid, "a new one"
        os.kill(other, signal.SIGKILL)  # while it has nothing to do
        end = time.monotonic() + 500
        while psutil.pid_exists(other) and psutil.Process(other).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end
            time.sleep(0.01)
        crew.give("fourth", "work")
        assert heard(crew, "fourth")[-1][1][0] not in (pid, other)
        crew.give("fifth", "refuse")
        with pytest.raises(BankwiseError, match="it is refused"):
            heard(crew, "fifth")
    assert not crew.workers
