"""One training on two real Ray workers: the file it leaves, a worker killed in the middle, a plan that cannot be."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray")

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.file.container import read
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines.on_ray import RayOptions
from bankwise.strategies.engines.ray.training import run_trial_together
from bankwise.trainers.data import load_data
from bankwise.trainers.evaluate import accuracy
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.usefixtures("two_cpus"),
]
OPTIONS = RayOptions(workers=2)


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task("tiny", load_data("digits", limit=400), Recipe(epochs=2, batch=50, threads=1))


@pytest.fixture(scope="module")
def plan(task) -> Plan:
    return make_strategy("rate", BudgetedSpace(SearchSpace(task.shape), Budget(900))).ask()


def test_the_file_is_as_planned_and_holds_what_was_measured(task, plan, tmp_path):
    file, storage = tmp_path / "model.bankwise", tmp_path / "together"
    result = run_trial_together(task, plan, task.recipe, storage, OPTIONS, file)
    assert file.stat().st_size == result.file_bytes == price(task.shape, plan).file_bytes
    assert accuracy(read(file).network(), task.data.val_x, task.data.val_y) == result.accuracy
    assert len(result.epochs) == task.recipe.epochs

    again = run_trial_together(task, plan, task.recipe, storage, OPTIONS)
    assert again == result, "a finished training is not repeated, to its seconds"


def test_a_killed_worker_costs_an_epoch_at_most(task, plan, tmp_path):
    recipe, storage = Recipe(epochs=12, batch=20, threads=1), tmp_path / "killed"
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(storage, killed), daemon=True)
    killer.start()
    result = run_trial_together(task, plan, recipe, storage, OPTIONS)
    killer.join(60)
    assert len(killed) == 1
    assert len(result.epochs) == recipe.epochs


def kill_a_worker(storage: Path, killed: list[int]) -> None:
    """As soon as a checkpoint lies in `storage`, end one of this process's training workers with SIGKILL."""
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline and not list(storage.glob("checkpoint_*")):
        time.sleep(0.05)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # Ray's children come and go
            if "RayTrainWorker" in " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)
                return


def test_a_plan_of_another_network_is_one_line(task, plan, tmp_path):
    names = dict(zip(reversed(plan.layers), plan.layers.values(), strict=True))
    with pytest.raises(BankwiseError, match="'x"):
        run_trial_together(
            task,
            Plan("tiny", plan.input_shape, plan.classes, {f"x{name}": choice for name, choice in names.items()}),
            task.recipe,
            tmp_path / "foreign",
            OPTIONS,
        )
