"""Full trainings side by side: the same results as one after another, whatever dies or diverges."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import bankwise.side_by_side
from bankwise import Recipe, SearchSettings, search
from bankwise.inputs import take
from bankwise.measuring import DIVERGED
from bankwise.progress import Meter, Progress
from bankwise.run_folder import RunFolder
from bankwise.search_space.budget import Budget
from bankwise.search_space.plan import Plan
from bankwise.search_space.space import SearchSpace
from bankwise.side_by_side import FullTraining, SideBySide, _Told, at_once, usual
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.task import TaskSource
from bankwise.training import train_plan
from bankwise.trainings import Trainings

RECIPE = Recipe(epochs=2, threads=1)
QUICK = SearchSettings(trials=2, uniform_trials=2, seeds=2, trial_epochs=1, recipe=RECIPE)
SOURCE = TaskSource("tiny", "digits", limit=120)


@pytest.fixture
def always(monkeypatch):
    """However few steps there are."""
    monkeypatch.setattr(bankwise.side_by_side, "WORTH", 0)


def plan_of(task) -> Plan:
    return make_strategy("rate", BudgetedSpace(SearchSpace(task.shape), Budget(1200))).ask()


def results(folder: Path) -> dict[str, object]:
    """Of every full training what it measured, without the time, and the bytes of its file."""
    found: dict[str, object] = {}
    for path in sorted((folder / "checkpoints").glob("*.json")):
        found[path.stem] = {**json.loads(path.read_text()), "seconds": 0}, path.with_suffix(".bankwise").read_bytes()
    return found


@pytest.mark.slow
def test_a_search_gives_the_same_results_though_one_process_is_killed(tmp_path, always):
    alone = search(None, SOURCE, 1200, tmp_path / "alone", QUICK, side_by_side=1)
    killed: list[int] = []
    seen: list[Progress] = []

    def kill(event: Progress) -> None:
        seen.append(event)
        children = multiprocessing.active_children()
        if event.phase == "search finalists" and children and not killed:
            killed.append(len(children))
            os.kill(children[0].pid, signal.SIGKILL)

    beside = search(None, SOURCE, 1200, tmp_path / "beside", QUICK, side_by_side=2, on_progress=kill)
    assert killed == [2], "two processes"
    assert not multiprocessing.active_children()
    assert results(tmp_path / "alone") == results(tmp_path / "beside") != {}
    assert (alone.plan, alone.searched, alone.uncompressed) == (beside.plan, beside.searched, beside.uncompressed)
    full = [event.done for event in seen if event.phase == "final searched"]
    assert full == sorted(full) and full[-1] == 4, "no phase goes back"


def test_without_worth_nothing_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", lambda self: pytest.fail("a process starts"))
    task = take(None, SOURCE).task(RECIPE)
    train_plan(plan_of(task), SOURCE, tmp_path / "run", RECIPE, seeds=2, side_by_side=2)


@pytest.mark.slow
def test_a_seed_that_diverges_is_recorded_as_alone(tmp_path, always):
    """The first training of a plan begins from weights that are no numbers."""
    inputs = take(None, SOURCE)
    task = inputs.task(RECIPE)
    plan = plan_of(task)
    for folder, most in ((tmp_path / "alone", 1), (tmp_path / "beside", 2)):
        meter = Meter({"uncompressed": 4, "final searched": 4})
        with RunFolder(folder).claimed({}) as run, SideBySide(task, most, meter) as together:
            trainings = Trainings(inputs, task, run, RECIPE, 0, meter, side_by_side=together)
            trainings.uncompressed(2)
            nn.init.constant_(next(trainings.teachers[0].parameters()), torch.nan)
            trainings.ahead(trainings.finals("searched", plan, 2))
            first, second = trainings.final("searched", plan, 2)
        assert DIVERGED in first and "diverged" in first[DIVERGED] and DIVERGED not in second
        assert (folder / "checkpoints" / "searched-0.diverged").read_text().strip() == first[DIVERGED]
    assert results(tmp_path / "alone") == results(tmp_path / "beside")


class Unsent(nn.Sequential):
    def __reduce__(self):
        raise TypeError("holds an open file")


def test_what_cannot_be_sent_is_trained_one_after_another(tmp_path, always):
    inputs = take(None, SOURCE)
    task = inputs.task(RECIPE)
    unsent = replace(task, network=Unsent(nn.Conv2d(1, 8, 3)))
    one = FullTraining("final searched", 0, "searched-0", RECIPE, tmp_path / "0.pt")
    with SideBySide(unsent, 2, Meter({})) as together:
        assert not together.possible
        assert not together.run([one, replace(one, label="searched-1")], lambda *made: pytest.fail("trained"))


@pytest.mark.parametrize(
    ("most", "threads", "cores", "found"),
    [(1, 1, 8, 1), (3, 1, 8, 3), (9, 1, 8, 8), (8, 2, 8, 4), (8, 3, 8, 2), (8, 16, 8, 1)],
)
def test_no_more_at_once_than_cores_have_threads_for(monkeypatch, most, threads, cores, found):
    monkeypatch.setattr(bankwise.side_by_side, "cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    recipe = Recipe(threads=threads)
    assert at_once(most, take(None, SOURCE).task(recipe), recipe) == found
    assert usual(recipe) == cores


def test_large_images_are_not_written_once_more(monkeypatch):
    task, recipe = take(None, SOURCE).task(RECIPE), RECIPE
    monkeypatch.setattr(bankwise.side_by_side, "cores", lambda: 4)
    assert at_once(4, task, recipe) == 4
    monkeypatch.setattr(bankwise.side_by_side, "IN_MEMORY_BYTES", task.data.train_x.nbytes - 1)
    assert at_once(4, task, recipe) == 1


def test_epochs_of_several_phases_are_told_as_one_after_another():
    """By hand: the second phase's epochs count from when the first is through; half of its work was done before."""
    seen: list[tuple[str, int]] = []
    meter = Meter({"search finalists": 4, "uniform finalists": 4}, lambda event: seen.append((event.phase, event.done)))
    first, second, third = (
        FullTraining(f"{phase} finalists", unit, f"{phase}-{unit}", RECIPE, Path())
        for phase, unit in (("search", 0), ("search", 1), ("uniform", 1))
    )
    told = _Told(meter, [first, second, third])
    for one, number in ((first, 1), (third, 1), (second, 2), (first, 2), (third, 2)):
        told.epoch(one, EpochReport(number, 2, 0.5, 0.5, 1.0))
    search, uniform = meter.work
    assert seen == [(search, 1), (search, 1), (search, 3), (uniform, 3), (uniform, 4)]
