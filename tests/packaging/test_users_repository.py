"""A repository of a user's own with packages `strategies`, `trainers` and `search_space`, beside bankwise.

Everything is run with the installed wheel, from the user's folder: by script, by `python -m`, with NNI and on Ray.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FILES = {
    "strategies/__init__.py": "NAME = 'the user\\'s strategies'\n",
    "search_space/__init__.py": "NAME = 'the user\\'s search space'\n",
    "trainers/__init__.py": "",
    "trainers/models.py": '''
import search_space, strategies
from torch import nn

def make(num_classes, in_channels):
    assert search_space.NAME.startswith("the user") and strategies.NAME.startswith("the user")
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes),
    )
''',
    "my_script.py": '''
import bankwise
import search_space, strategies, trainers.models
from bankwise.strategies import STRATEGIES
from bankwise.trainers.recipe import Recipe

print(strategies.NAME, search_space.NAME, trainers.models.make(10, 1)[0], "evolution" in STRATEGIES, Recipe(epochs=2))
print(bankwise.Budget(900), bankwise.__file__)
''',
    "mypkg/__init__.py": "",
    "mypkg/__main__.py": "import my_script\n",
    "on_ray.py": '''
import sys
import ray
import strategies
from bankwise.command_line import main

ray.init("local", num_cpus=2, include_dashboard=False, _temp_dir=sys.argv[1], object_store_memory=150 * 2**20,
         runtime_env={"working_dir": "."})
assert strategies.NAME.startswith("the user")
sys.exit(main(sys.argv[2:]))
''',
}  # fmt: skip
NETWORK = "--network trainers.models:make --data digits --limit 200 --budget 500".split()
SEARCH = (
    "search --trials 1 --uniform-trials 1 --finalists 1 --seeds 1 --epochs 1 --trial-epochs 1 --out run --json"
).split()
SECONDS = 500  # that an experiment may take on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The user's folder; bankwise is not in it."""
    for name, text in FILES.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "mine"


@pytest.fixture
def short_folder() -> Iterator[str]:
    """For Ray's sockets, whose paths must be short."""
    folder = tempfile.mkdtemp(prefix="bankwise-test-", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("words", [("my_script.py",), ("-m", "my_script"), ("-m", "mypkg")], ids=" ".join)
def test_a_script_imports_its_own_packages_and_those_of_bankwise(repository, installed, run, words):
    said = run(installed / "python", *words, cwd=repository).stdout
    assert said.startswith("the user's strategies the user's search space Conv2d(1, 8") and "True" in said
    assert str(installed.parent) in said.splitlines()[-1]


def checked(folder: Path, summary: dict) -> None:
    """A run has ended with a file as large as planned, in the budget."""
    assert (
        summary["file_bytes"] == summary["planned_bytes"] == (folder / "run" / "model.bankwise").stat().st_size <= 500
    )


@pytest.mark.parametrize("words", [("bankwise",), ("python", "on_ray.py")], ids=["command", "working_dir"])
def test_a_search_on_ray(repository, installed, run, short_folder, words):
    """By the command, and with the repository as the working directory of Ray's processes."""
    pytest.importorskip("ray")
    command = [installed / words[0], *words[1:], *([short_folder] if words[1:] else [])]
    done = run(*command, *SEARCH, *NETWORK, "--engine", "ray", cwd=repository, RAY_USAGE_STATS_ENABLED="0")
    checked(repository, json.loads(done.stdout[done.stdout.index("{") :]))
    evaluate = ("evaluate", "run/model.bankwise", "--data", "digits", "--allow-code", "--json")
    assert json.loads(run(installed / "bankwise", *evaluate, cwd=repository).stdout)["accuracy"] >= 0


@pytest.fixture
def nni(
    repository: Path, installed: Path, run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable]:
    """`nnictl` of the environment with the wheel, in a home of its own; whatever it has started ends with the test."""
    pytest.importorskip("nni")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{installed}{os.pathsep}{os.environ['PATH']}")

    def nnictl(*arguments: object) -> str:
        return run(installed / "python", "-m", "nni.tools.nnictl.nnictl", *arguments, cwd=repository).stdout

    yield nnictl
    nnictl("stop", "--all")


def test_an_nni_experiment(repository, installed, run, nni):
    """Tuner and trial processes import the network from the user's folder, and the trial runs from another one."""
    init = ("nni", "init", "experiment", *NETWORK, "--epochs", 1, "--trial-epochs", 1, "--trials", 1)
    run(installed / "bankwise", *init, cwd=repository)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    nni("create", "--config", "experiment/config.yml", "--port", port)
    export = (installed / "bankwise", "nni", "export", "experiment", "--allow-code", "--json")
    deadline = time.monotonic() + SECONDS
    trials = repository / "experiment" / "trials"
    while not any('"status": "finished"' in path.read_text() for path in trials.glob("*/trial.json")):
        assert time.monotonic() < deadline, [p.read_text()[-2000:] for p in repository.parent.rglob("*.stderr")]
        time.sleep(0.5)
    summary = json.loads(run(*export, cwd=repository).stdout)
    assert summary["finished"] == 1 and summary["file_bytes"] <= 500
