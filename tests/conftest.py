"""One thread a worker, hypothesis profiles, the order of the tests, and the real data sets for those that read them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import settings

# Sets that the archives beside the checkout unpack to: cifar10.npz and torchvision's FashionMNIST folder.
UNPACKED = ("cifar10", "fashion-mnist")
ARCHIVES = Path(__file__).resolve().parents[2] / "shared" / "data"

# Fixtures of a module, or of a folder (true), that take seconds: a Ray, a cluster, processes that train together.
COSTLY = {"two_cpus": False, "started": True}

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first, so that no worker is left with one at the end. Those that share a costly fixture of their
    module or folder run in one worker, which makes it once."""
    for item in items:
        for fixture, whole_folder in COSTLY.items():
            if fixture in getattr(item, "fixturenames", ()) and item.get_closest_marker("xdist_group") is None:
                shared = item.path.parent if whole_folder else item.path
                item.add_marker(pytest.mark.xdist_group(f"{shared.parent.name}/{shared.stem}"))
    items.sort(key=lambda item: not (item.get_closest_marker("slow") or item.get_closest_marker("xdist_group")))


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the real data sets: BANKWISE_DATA, else what ../shared/data/unpack.py writes, once for all workers.

    Without either the test is skipped.
    """
    if folder := os.environ.get("BANKWISE_DATA"):
        return Path(folder)
    script = ARCHIVES / "unpack.py"
    if not script.exists():
        pytest.skip("needs real data: set BANKWISE_DATA to a folder with cifar10.npz and FashionMNIST/raw")
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # the run's folder, which its workers share
    root, done = base / "data", base / "data-unpacked"
    with FileLock(base / "data.lock"):
        if not done.exists():
            subprocess.run([sys.executable, script, root, *UNPACKED], check=True, capture_output=True, text=True)
            done.touch()
    return root
