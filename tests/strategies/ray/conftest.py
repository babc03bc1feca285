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

from search_space.budget import Budget
from search_space.space import SearchSpace
from strategies import BudgetedSpace, make_strategy
from strategies.job import Job
from trainers.data import load_data
from trainers.recipe import Recipe
from trainers.task import Task, make_task

SMALL_STORE = 150 * 2**20  # bytes
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # one for all Rays of a process, which keeps the first


@pytest.fixture(scope="session")
def quick() -> Task:
    """The tiny network on 300 digits: an epoch takes a tenth of a second."""
    return make_task("tiny", load_data("digits", limit=300), Recipe(epochs=3, threads=1))


@pytest.fixture(scope="session")
def tight(quick: Task) -> BudgetedSpace:
    return BudgetedSpace(SearchSpace(quick.shape), Budget(900))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(folder))
        patch.setenv("RAY_AIR_NEW_OUTPUT", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield folder


@pytest.fixture(scope="module")
def ray_folder() -> Iterator[str]:
    """For Ray's logs and sockets, whose paths must be short."""
    folder = tempfile.mkdtemp(prefix="bankwise-test-", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def two_cpus(home: Path, ray_folder: str) -> Iterator[None]:
    """A Ray of two CPUs and two make-believe GPUs in this process."""
    ray = pytest.importorskip("ray")
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
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture
def make_job(quick: Task, tight: BudgetedSpace, tmp_path: Path) -> Callable[..., Job]:
    """Jobs of `trials` trials of `epochs` epochs, each in a folder of its own by `name`."""

    def make(trials: int, name: str = "job", strategy: str = "evolution", epochs: int = 2, **fields) -> Job:
        recipe = Recipe(epochs=epochs, threads=1)
        (tmp_path / name).mkdir(exist_ok=True)
        job = Job(make_strategy(strategy, tight, seed=3), quick, recipe, trials, tmp_path / name / "search.json")
        return dataclasses.replace(job, **fields)

    return make
