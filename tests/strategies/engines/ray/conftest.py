"""A real Ray for a module of tests, and jobs that take seconds."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines.job import Job
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, make_task

SMALL_STORE = 150 * 2**20  # bytes
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # one for all Rays of a process, which keeps the first
os.environ.setdefault("RAY_worker_niceness", "0")  # as the tests themselves: else other tests' processes come first


@pytest.fixture(scope="session")
def quick() -> Task:
    """The tiny network on 300 digits: an epoch takes a tenth of a second."""
    return make_task("tiny", load_data("digits", limit=300), Recipe(epochs=3, threads=1))


@pytest.fixture(scope="session")
def tight(quick: Task) -> BudgetedSpace:
    return BudgetedSpace(SearchSpace(quick.shape), Budget(900))


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(folder))
        patch.setenv("RAY_AIR_NEW_OUTPUT", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield folder


@pytest.fixture(scope="package")
def ray_folder() -> Iterator[str]:
    """For Ray's logs and sockets, whose paths must be short; at its end no Ray runs in this process."""
    ray = pytest.importorskip("ray")
    folder = tempfile.mkdtemp(prefix="bankwise-test-", dir="/tmp")
    try:
        yield folder
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def two_cpus(home: Path, ray_folder: str) -> None:
    """A Ray of two CPUs and two make-believe GPUs in this process, the same for all modules that ask for it."""
    import ray

    if not ray.is_initialized():
        ray.init(
            "local",
            num_cpus=2,
            num_gpus=2,
            include_dashboard=False,
            object_store_memory=SMALL_STORE,
            _temp_dir=ray_folder,
            log_to_driver=False,
            logging_level="CRITICAL",
        )


@pytest.fixture(scope="module")
def no_ray(home: Path, ray_folder: str) -> None:
    """No Ray in this process."""
    import ray

    ray.shutdown()


@pytest.fixture
def make_job(quick: Task, tight: BudgetedSpace, tmp_path: Path) -> Callable[..., Job]:
    """Jobs of `trials` trials of `epochs` epochs, each in a folder of its own by `name`."""

    def make(trials: int, name: str = "job", strategy: str = "evolution", epochs: int = 2, **fields) -> Job:
        recipe = Recipe(epochs=epochs, threads=1)
        job = Job(make_strategy(strategy, tight, seed=3), quick, recipe, trials, tmp_path / name)
        return dataclasses.replace(job, **fields)

    return make
