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
