"""NNI's manager, started for real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from itertools import pairwise

import psutil
import pytest

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.engines.nni import listed, manager

# Starts the experiment of a folder once it is told to; says when each of NNI's own starts began and ended.
STARTER = """
import json, sys, time
from pathlib import Path
from nni.experiment import Experiment
from bankwise.strategies.engines.nni import manager
start, times, noted = Experiment.start, [], []
def timed(*arguments, **options):
    times.append([time.time(), None])
    try:
        return start(*arguments, **options)
    finally:
        times[-1][1] = time.time()
Experiment.start = timed
print("ready", flush=True)
sys.stdin.readline()
running = manager.start(Path(sys.argv[1]) / "config.yml", int(sys.argv[2]), noted.append)
print(json.dumps({"id": running.id, "port": running.port, "noted": noted, "times": times}))
"""


@pytest.fixture
def starter(nni, tmp_path):
    """Makes a process that starts the folder's experiment at its next line of input, at a port; NNI ends with it."""
    started = []

    def make(port: int) -> subprocess.Popen:
        arguments = [sys.executable, "-c", STARTER, tmp_path / "experiment", str(port)]
        started.append(subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "ready\n"
        return started[-1]

    nni.init()
    yield make
    for process in started:
        process.kill()
        process.communicate()
    for id in listed.listed():
        if (left := manager.attach(id)) is not None:
            left.stop()
        manager.end_tuners(id)


def go(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.slow
def test_of_three_that_start_at_once_one_starts_after_another(nni, starter):
    """Each at a port of its own, though all ask for the same one."""
    starters = [starter(port) for port in [nni.free_port()] * 3]
    for process in starters:
        go(process)
    found = [json.loads(process.communicate(timeout=600)[0]) for process in starters]
    assert all(manager.attach(one["id"]) is not None and one["noted"][-1] == one["id"] for one in found)
    assert len({one["port"] for one in found}) == 3
    times = sorted(time for one in found for time in one["times"])
    assert all(end <= begin for (_, end), (begin, _) in pairwise(times))


@pytest.mark.slow
def test_ctrl_c_while_nni_starts_leaves_nothing(nni, starter):
    """NNI does not list an experiment yet then."""
    process = starter(nni.free_port())

    def node() -> psutil.Process | None:
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):
                if "--experiment-id" in child.cmdline():
                    return child
        return None

    go(process)
    started = nni.until("NNI's server", node)
    assert not listed.listed()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=500)
    assert process.returncode and not started.is_running()


def test_a_manager_that_does_not_answer_gets_no_second_one_beside_it(tmp_path, monkeypatch):
    """It listens, as a suspended process does; at the port of one that ended nobody listens."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(listed, "ANSWER", 0.5)
    (tmp_path / "nni-experiments").mkdir()
    with socket.create_server(("localhost", 0)) as server:
        known = {"busy": {"logDir": str(tmp_path), "port": server.getsockname()[1], "pid": os.getpid()}}
        (tmp_path / "nni-experiments" / ".experiment").write_text(json.dumps(known))
        with pytest.raises(BankwiseError, match=rf"experiment busy \(pid {os.getpid()}\) does not answer: wait for it"):
            manager.attach("busy")
    assert manager.attach("busy") is None
