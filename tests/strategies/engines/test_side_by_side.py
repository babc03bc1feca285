"""Trials side by side on this machine: the results of one after another where a strategy allows it, whatever dies."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines import Job, make_engine
from bankwise.strategies.trials import Record, SearchFailed
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task

RECIPE = Recipe(epochs=2, threads=1)
TRIALS = 5


def job(folder: Path, strategy: str, recipe: Recipe = RECIPE, **callbacks) -> Job:
    task = make_task("tiny", load_data("digits", limit=100), recipe)
    space = BudgetedSpace(SearchSpace(task.shape), Budget(1300))
    return Job(make_strategy(strategy, space, seed=3), task, recipe, TRIALS, folder, **callbacks)


def plain(records: list[Record]) -> list[Record]:
    return [dataclasses.replace(one, failures=0, metrics={**(one.metrics or {}), "seconds": 0}) for one in records]


@pytest.mark.slow
def test_a_strategy_that_does_not_learn_gives_the_records_of_one_worker_though_one_is_killed(tmp_path):
    """The process of the first trial that reports an epoch is killed: that trial alone is tried again, and goes on."""
    recipe = dataclasses.replace(RECIPE, epochs=12)  # long enough for the signal to come before the end
    wanted = make_engine("local").run(job(tmp_path / "one", "random", recipe))
    killed: list[int] = []

    def kill(number: int, epoch) -> None:
        if not killed:
            victims = multiprocessing.active_children()
            killed.extend((number, len(victims)))
            for process in victims[:1]:
                os.kill(process.pid, signal.SIGKILL)

    records = make_engine("local", workers=2).run(job(tmp_path / "two", "random", recipe, on_epoch=kill))
    assert killed[1] == 2, "two processes"
    assert sorted(one.failures for one in records) == [0] * (TRIALS - 1) + [1]
    by_number = sorted(plain(records), key=lambda record: record.number)
    assert by_number == plain(wanted)
    assert not multiprocessing.active_children()


def test_a_strategy_that_learns_proposes_by_the_number_of_workers_alone(tmp_path):
    """Trial i is proposed when the results of all up to i - 2 are known, however long each takes: the first one here
    ends after the second."""
    first: list[int] = []

    def delay(number: int, epoch) -> None:
        last = number == 1 and epoch.epoch == RECIPE.epochs
        if not first and (number == 0 or last):
            first.append(min(process.pid for process in multiprocessing.active_children()))
            os.kill(first[0], signal.SIGSTOP)
        if last:
            time.sleep(2)  # in which the second packs its network and ends
            os.kill(first[0], signal.SIGCONT)

    todo = job(tmp_path / "two", "evolution", on_epoch=delay)
    ask, known = todo.strategy.ask, []
    todo.strategy.ask = lambda: (known.append(len(todo.strategy.results)), ask())[1]
    records = make_engine("local", workers=2).run(todo)
    assert first, "the first was delayed"
    assert known == [0, 0, 1, 2, 3]
    assert [record.number for record in records] == [*range(TRIALS)]
    again = job(tmp_path / "asked", "evolution").strategy
    asked = [again.ask(), again.ask()]
    for number in range(TRIALS - 2):
        again.tell(asked[number], records[number].metrics)
        asked.append(again.ask())
    assert [record.plan for record in records] == asked


LOSS = """
import multiprocessing, sys
from torch.nn import functional
def loss(outputs, labels):
    if multiprocessing.parent_process() is not None:
        sys.exit("no licence")
    return functional.cross_entropy(outputs, labels)
"""


@pytest.mark.slow
def test_a_trial_that_ends_its_process_is_told(tmp_path, monkeypatch):
    """As a library may whose licence is missing. Its record says interrupted, as a stopped search leaves it too."""
    (tmp_path / "exiting.py").write_text(LOSS)
    monkeypatch.syspath_prepend(str(tmp_path))
    failed: list[tuple[int, str]] = []
    recipe = dataclasses.replace(RECIPE, loss="exiting:loss")
    with pytest.raises(SearchFailed, match="all of the first 3 trials failed: SystemExit"):
        make_engine("local", workers=2).run(
            job(tmp_path / "run", "random", recipe, on_failure=lambda number, reason: failed.append((number, reason)))
        )
    assert {reason for _, reason in failed} == {"SystemExit"} and len({number for number, _ in failed}) == 3


class Unsent(nn.Sequential):
    def __reduce__(self):
        raise TypeError("holds an open file")


def test_what_cannot_be_sent_is_one_line(tmp_path):
    torch.manual_seed(0)
    module = Unsent(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    made = job(tmp_path / "run", "random")
    task = dataclasses.replace(made.task, network=module)
    with pytest.raises(BankwiseError, match="workers > 1: the network cannot be sent.*holds an open file.*one worker"):
        make_engine("local", workers=2).run(dataclasses.replace(made, task=task))


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from bankwise import SearchSettings, Recipe, TaskSource, search\n"
        "settings = SearchSettings(trials=2, finalists=1, seeds=1, recipe=Recipe(epochs=1, threads=1))\n"
        "data = TaskSource('tiny', 'digits', limit=60)\n"
        f"search(None, data, 1300, {str(tmp_path / 'run')!r}, settings, options={{'workers': 2}})\n"
    )
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert "a worker process ended before it began" in ended.stderr.splitlines()[-1], ended.stderr[-800:]
