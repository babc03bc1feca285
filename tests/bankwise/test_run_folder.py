"""A run's folder: one search and one process at a time, and a log without lost or doubled lines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError


def test_a_folder_in_use_is_one_line_and_free_again_afterwards(tmp_path):
    code = (
        "import sys; from bankwise.run_folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).claimed({'a': 1}): print('in', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "in\n"
    with pytest.raises(BankwiseError, match=rf"in use by another process \(pid {process.pid} on '.+'\); wait for it"):
        with RunFolder(tmp_path / "run").claimed({"a": 1}):
            raise AssertionError("two processes in one folder")
    process.kill()
    process.wait()
    with RunFolder(tmp_path / "run").claimed({"a": 1}) as folder:
        assert folder.read(folder.settings) == {"a": 1}
    assert not (tmp_path / "run" / "run.owner").exists()
    with pytest.raises(BankwiseError, match="a: 1 there, 2 now"), RunFolder(tmp_path / "run").claimed({"a": 2}):
        pass


def test_lines_are_neither_lost_nor_doubled(tmp_path):
    first = RunFolder(tmp_path)
    first.log("trial 0", {"accuracy": 0.5})
    first.log("trial 0", {"accuracy": 0.5})
    with first.metrics.open("a") as stream:
        stream.write('{"key": "trial 1", "accu')  # killed in the middle
    again = RunFolder(tmp_path)
    for number in range(3):
        again.log(f"trial {number}", {"accuracy": 0.5 + number})
    lines = [json.loads(line) for line in first.metrics.read_text().splitlines()]
    assert lines == [{"key": f"trial {number}", "accuracy": 0.5 + number} for number in range(3)]


def test_more_trials_remove_what_ray_left_of_a_full_training(tmp_path):
    """Its storage is a folder, under the training's own name."""
    settings = {"strategy": "random", "trials": 2, "uniform_trials": 1}
    with RunFolder(tmp_path).claimed(settings) as folder:
        for name in ("search-finalist-0-seed0", "searched-0"):
            (folder.checkpoints / name / "checkpoint_000000").mkdir(parents=True)
        (folder.checkpoints / "searched-1.pt").touch()
        (folder.checkpoints / "uncompressed-0.pt").touch()
    with RunFolder(tmp_path).claimed(settings | {"trials": 3}) as folder:
        assert [path.name for path in folder.checkpoints.iterdir()] == ["uncompressed-0.pt"]
