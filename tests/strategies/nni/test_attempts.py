from __future__ import annotations

import subprocess
import sys

import pytest

from strategies.nni import attempts
from strategies.nni.attempts import Held

WORKER = (
    "import pathlib, sys; from strategies.nni.attempts import Held\n"
    "held = Held(pathlib.Path(sys.argv[1]), 'E', 'job', {'a': 'B'})\n"
    "print('held', flush=True); sys.stdin.readline(); held.end('done')"
)


@pytest.fixture
def worker(tmp_path):
    started = subprocess.Popen(
        [sys.executable, "-c", WORKER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout.readline() == "held\n"
        yield started
    finally:
        started.kill()
        started.communicate()


def test_a_living_trial_runs_and_a_killed_one_has_died(worker, tmp_path):
    (running,) = attempts.attempts(tmp_path)
    assert (running.state, running.parameters) == ("running", {"a": "B"})
    worker.kill()
    worker.wait()
    (died,) = attempts.attempts(tmp_path)
    assert (died.state, died.token) == ("died", running.token)


def test_a_trial_that_ends_says_how(worker, tmp_path):
    worker.stdin.write("\n")
    worker.stdin.flush()
    assert worker.wait(timeout=60) == 0
    assert [one.state for one in attempts.attempts(tmp_path)] == ["done"]


def test_the_next_start_of_a_job_is_another_attempt(tmp_path):
    first = Held(tmp_path, "E", "job", {})
    first.end(attempts.CANCELLED, "by hand")
    (before,) = attempts.attempts(tmp_path)
    second = Held(tmp_path, "E", "job", {})
    (after,) = attempts.attempts(tmp_path)
    assert (before.state, before.message, after.state) == ("cancelled", "by hand", "running")
    assert before.token != after.token
    second.end(attempts.DONE)


def test_experiments_are_told_apart_and_other_files_are_none(tmp_path):
    assert attempts.attempts(tmp_path) == []
    for name, job in (("E", "b"), ("E", "a"), ("E-2", "a")):
        Held(tmp_path, name, job, {}).end(attempts.DONE)
    (tmp_path / "attempts" / "E-x.json").write_text("{")
    (tmp_path / "attempts" / "E-y.json").write_text('{"job": 1}')
    assert [one.job for one in attempts.attempts(tmp_path, "E")] == ["b", "a"]  # as they began
    assert len(attempts.attempts(tmp_path)) == 3


def test_a_trial_that_ends_between_two_looks_has_not_died(tmp_path, monkeypatch):
    held = Held(tmp_path, "E", "job", {})
    read = attempts._read

    def read_and_end(path):
        found = read(path)
        if found.state == attempts.RUNNING:
            held.end(attempts.DONE)
        return found

    monkeypatch.setattr(attempts, "_read", read_and_end)
    assert [one.state for one in attempts.attempts(tmp_path)] == [attempts.DONE]
