"""The trial store: idempotent, resumable to the bit, locked; what fails says why."""

from __future__ import annotations

import copy
import dataclasses
import errno
import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.space import SearchSpace
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import StopTraining
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import TrialRecord, TrialStore
from bankwise.trainers.task import make_task
from bankwise.trainers.trial import run_trial

RECIPE = Recipe(epochs=3, threads=1)


class Stop(BaseException):
    pass


class Raises(nn.Module):
    """A user's module that fails in training."""

    def forward(self, images):
        if self.training:
            raise KeyError("no such\nthing")
        return images


def untimed(record):
    metrics = record.metrics and {**record.metrics, "seconds": 0}
    return dataclasses.replace(
        record, time=0, metrics=metrics, epochs=tuple(dataclasses.replace(one, seconds=0) for one in record.epochs)
    )


@pytest.fixture(scope="module")
def task():
    return make_task("tiny", load_data("digits", limit=200), RECIPE)


@pytest.fixture(scope="module")
def plan(task):
    return SearchSpace(task.shape).plan([0] * len(task.shape.layers))


@pytest.fixture(scope="module")
def whole(task, plan, tmp_path_factory):
    """The record of an undisturbed trial."""
    return TrialStore(tmp_path_factory.mktemp("whole")).run(task, plan, RECIPE)


@pytest.fixture
def store(tmp_path) -> TrialStore:
    return TrialStore(tmp_path / "trials", {"data": "digits"})


def test_a_trial_is_that_of_run_trial_and_answers_from_its_record(task, plan, whole, store):
    epochs = []
    record = store.run(task, plan, RECIPE, epochs.append)
    assert untimed(record) == untimed(whole)
    expected = json.loads(json.dumps(run_trial(task, plan, RECIPE).metrics()))
    assert {**record.metrics, "seconds": 0} == {**expected, "seconds": 0}
    assert record.status == "finished" and tuple(epochs) == record.epochs
    again = []

    def never():
        raise AssertionError("the task is not needed")

    assert store.run(never, plan, RECIPE, again.append) == record == store.record(plan, RECIPE)
    assert again == epochs and store.records() == [record]
    assert sorted(path.name for path in store.place(plan, RECIPE).iterdir()) == ["lock", "trial.json"]


def test_the_key_is_of_plan_recipe_and_identity(plan, task, store, tmp_path):
    other = SearchSpace(task.shape).plan([1] + [0] * (len(task.shape.layers) - 1))
    recipes = [RECIPE, dataclasses.replace(RECIPE, seed=1), dataclasses.replace(RECIPE, epochs=2)]
    keys = {store.place(one, recipe) for one in (plan, other) for recipe in recipes}
    keys |= {TrialStore(store.folder, {"data": "mnist"}).place(plan, RECIPE)}
    assert len(keys) == 7
    assert store.place(plan, dataclasses.replace(RECIPE, threads=4)) == store.place(plan, RECIPE)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop, ZeroDivisionError])
def test_an_interrupted_trial_is_no_failure_and_goes_on_to_the_same_bits(task, plan, whole, store, error):
    def interrupt(epoch):
        if epoch.epoch == 2:
            raise error()

    with pytest.raises(error):
        store.run(task, plan, RECIPE, interrupt)
    record = store.record(plan, RECIPE)
    assert record.status == "interrupted" and error.__name__ in record.reason and len(record.epochs) == 2
    epochs = []
    assert untimed(store.run(task, plan, RECIPE, epochs.append)) == untimed(whole)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]


def test_a_report_may_end_the_training_early(task, plan, store):
    def stop(epoch):
        raise StopTraining

    record = store.run(task, plan, RECIPE, stop)
    assert record.status == "finished" and len(record.epochs) == 1 == len(record.metrics["epochs"])


def test_a_diverged_trial_is_recorded_and_not_tried_again(task, plan, store):
    recipe = dataclasses.replace(RECIPE, lr=1e30)
    record = store.run(task, plan, recipe)
    assert record.status == "diverged" and record.metrics is None and record.epochs == ()
    assert "diverged" in record.reason and "epoch 1 at lr 1e+30" in record.reason
    written = (store.place(plan, recipe) / "trial.json").stat().st_mtime_ns
    assert store.run(task, plan, recipe) == record
    assert (store.place(plan, recipe) / "trial.json").stat().st_mtime_ns == written


def test_a_crash_names_the_users_line_and_is_tried_again(task, plan, whole, store):
    network = copy.deepcopy(task.network)
    name = next(name for name, module in network.named_modules() if isinstance(module, nn.ReLU))
    network.set_submodule(name, Raises())
    record = store.run(dataclasses.replace(task, network=network), plan, RECIPE)
    assert record.status == "crashed" and "\n" not in record.reason
    assert record.reason.startswith("KeyError: 'no such\\nthing' (test_store.py:") and "in forward)" in record.reason
    assert untimed(store.run(task, plan, RECIPE)) == untimed(whole)


def test_bad_input_is_raised_and_said(task, plan, store):
    recipe = dataclasses.replace(RECIPE, distill=0.5)
    with pytest.raises(BankwiseError, match="give a teacher"):
        store.run(task, plan, recipe)
    assert "give a teacher" in store.record(plan, recipe).reason


def test_a_full_disk_is_raised_and_the_trial_can_be_resumed(task, plan, whole, store):
    class Full(nn.Module):
        def forward(self, images):
            raise OSError(28, "No space left on device")

    network = copy.deepcopy(task.network)
    name = next(name for name, module in network.named_modules() if isinstance(module, nn.ReLU))
    network.set_submodule(name, Full())
    with pytest.raises(OSError, match="No space"):
        store.run(dataclasses.replace(task, network=network), plan, RECIPE)
    assert store.record(plan, RECIPE).status == "interrupted"
    assert untimed(store.run(task, plan, RECIPE)) == untimed(whole)


def test_a_damaged_record_is_one_line(task, plan, store):
    place = store.place(plan, RECIPE)
    place.mkdir(parents=True)
    right = TrialRecord(plan, "crashed", None, "a reason").to_dict()
    wrong = [right | {"status": "lost"}, right | {"epochs": [{"epoch": 1}]}, right | {"plan": {}}, right | {"more": 1}]
    assert TrialRecord.from_dict(json.loads(json.dumps(right))) == TrialRecord(plan, "crashed", None, "a reason")
    for text in ("{", "[]", '{"plan": 1}', *map(json.dumps, wrong)):
        (place / "trial.json").write_text(text)
        with pytest.raises(BankwiseError, match="delete it to try the plan again"):
            store.run(task, plan, RECIPE)


def slow_trial(folder: Path, plan, seconds: float) -> None:
    torch.set_num_threads(1)
    task = make_task("tiny", load_data("digits", limit=200), RECIPE)
    TrialStore(folder).run(task, plan, RECIPE, lambda epoch: time.sleep(seconds))


def test_a_disk_that_is_full_is_not_the_trials_fault(task, plan, whole, tmp_path, monkeypatch):
    """The first checkpoint cannot be written; once there is room the trial goes on."""
    store, sync = TrialStore(tmp_path), os.fsync

    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 20_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BankwiseError, match="checkpoint.pt': No space left on device"):
        store.run(task, plan, RECIPE)
    assert store.record(plan, RECIPE).status == "interrupted"
    monkeypatch.setattr(os, "fsync", sync)
    assert untimed(store.run(task, plan, RECIPE)) == untimed(whole)


def test_two_that_ask_at_once_do_not_take_each_other_for_the_process(plan, tmp_path):
    store, record = TrialStore(tmp_path), TrialRecord(plan, "running")
    place = store.place(plan, RECIPE)
    place.mkdir()
    (place / "trial.json").write_text(json.dumps(record.to_dict()))
    with ThreadPoolExecutor(4) as pool:
        found = [one.status for one in pool.map(lambda _: store.record(plan, RECIPE), range(200))]
    assert found == ["died"] * 200


def test_processes_take_turns_and_a_killed_one_is_seen(task, plan, whole, tmp_path):
    folder = tmp_path / "trials"
    store, context = TrialStore(folder), multiprocessing.get_context("spawn")
    first = context.Process(target=slow_trial, args=(folder, plan, 60))
    first.start()
    end = time.monotonic() + 500
    while (record := store.record(plan, RECIPE)) is None or not record.epochs:
        assert time.monotonic() < end and first.is_alive()
        time.sleep(0.02)
    assert record.status == "running"
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    died = store.record(plan, RECIPE)
    assert (died.status, died.reason) == ("died", "its process died")
    second = context.Process(target=slow_trial, args=(folder, plan, 0.3))
    second.start()
    while store.record(plan, RECIPE).status != "running":
        assert time.monotonic() < end and second.is_alive()
        time.sleep(0.02)
    assert untimed(store.run(task, plan, RECIPE)) == untimed(whole)  # waits for the other
    second.join()
    assert second.exitcode == 0
