"""Runs that are stopped in the middle, in every way, end as if nothing had been."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

LIMIT = 100_000  # bytes a file may have: less than a checkpoint


def stop(process: subprocess.Popen, when: Callable[[], bool], with_signal: int) -> str:
    """Signal the process as soon as `when`; what it said on stderr."""
    end = time.monotonic() + 500
    while not when():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.002)
    process.send_signal(with_signal)
    return process.communicate(timeout=500)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_says_how_to_resume_and_the_same_command_ends_the_search(cli, finished, tmp_path, number):
    folder = tmp_path / "run"
    heeded = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - tests in the background may ignore it
    process = cli.start(*cli.search, "--out", folder, preexec_fn=heeded)
    output = stop(process, (folder / "checkpoints" / "uncompressed-0.pt").exists, number)
    assert process.returncode == 130, output
    assert "same command" in output.splitlines()[-1] and "Traceback" not in output
    assert not (folder / "summary.json").exists() and not list(folder.rglob(".*"))
    resumed = cli.call(*cli.search, "--out", folder)
    assert cli.comparable(resumed.json, folder) == cli.comparable(finished[1].json, finished[0])
    assert (folder / "model.bankwise").read_bytes() == (finished[0] / "model.bankwise").read_bytes()


@pytest.mark.slow
def test_a_search_killed_in_each_phase_ends_as_an_undisturbed_one(cli, tmp_path):
    arguments = [*cli.search, "--strategy", "gradient", "--epochs", "4"]
    folder = tmp_path / "killed"
    checkpoints = folder / "checkpoints"
    phases = {
        "uncompressed": ("uncompressed-0.pt", lambda: not (checkpoints / "uncompressed-1.pt").exists()),
        "supernet": ("supernet.pt", lambda: not (folder / "search" / "trials").exists()),
        "search": ("../search/trials", lambda: not (folder / "plan.yaml").exists()),
        "final": ("searched-0.pt", lambda: not (folder / "summary.json").exists()),
    }
    ledger = folder / "search" / "ledger.jsonl"
    for name, (checkpoint, in_phase) in phases.items():
        process = cli.start(*arguments, "--out", folder)
        stop(process, (checkpoints / checkpoint).exists, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL and in_phase(), name
        if name == "supernet":  # a kill in the middle of the first line
            ledger.parent.mkdir(exist_ok=True)
            ledger.write_text('{"ledger": 1, "prep')
    resumed = cli.call(*arguments, "--out", folder)
    undisturbed = cli.call(*arguments, "--out", tmp_path / "undisturbed")
    assert cli.comparable(resumed.json, folder) == cli.comparable(undisturbed.json, tmp_path / "undisturbed")


def test_a_full_disk_is_one_line_and_the_search_goes_on_later(cli, finished, tmp_path):
    folder = tmp_path / "run"
    process = cli.start(
        *cli.search, "--out", folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    )
    out, err = process.communicate(timeout=500)
    last = err.splitlines()[-1]
    assert process.returncode == 2 and out == "" and "Traceback" not in err
    assert last.startswith("error: ") and "uncompressed-0.pt" in last and "File too large" in last
    assert not [path for path in Path(folder).rglob(".*")]
    resumed = cli.call(*cli.search, "--out", folder)
    assert cli.comparable(resumed.json, folder) == cli.comparable(finished[1].json, finished[0])


def test_a_folder_claimed_by_half_is_claimed_anew(cli, tmp_path, finished):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".tmp-here-1-01234567").write_text("{")
    resumed = cli.call(*cli.search, "--out", folder)
    assert resumed.code == 0
    assert json.loads((folder / "settings.json").read_text())["budget"] == "1200"
