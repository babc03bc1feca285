"""The engines by the command line: options, what is missing, and a search on Ray like the local one."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from bankwise.cli.engines import engine_options
from bankwise.command_line import main
from bankwise.strategies.engines import ENGINES, make_engine

WITHOUT_RAY = (
    "import sys; sys.modules['ray'] = None; from bankwise.command_line import main; sys.exit(main(sys.argv[1:]))"
)


USERS_ENGINE = """
from dataclasses import dataclass

from bankwise.strategies.engines.job import option
from bankwise.strategies.engines.local import LocalEngine


@dataclass(frozen=True)
class QueueOptions:
    queue: str = option("short", "Queue of the jobs.")
    hours: float | None = option(None, "Longest run.")
    keep_logs: bool = option(False, "Keep the jobs' logs.")


class QueueEngine(LocalEngine):
    name = "queue"
    help = "jobs of a batch system"
    Options = QueueOptions

    def check(self):
        raise SystemExit(f"{self.options}")
"""


def test_every_option_of_every_engine_is_one_of_the_search_with_its_help(cli):
    shown = " ".join(cli.call("search", "--help").out.replace("│", " ").split())
    for engine in ENGINES:
        for item in dataclasses.fields(engine.Options):
            assert f"--{item.name.replace('_', '-')} " in shown
            assert item.metadata["help"] in shown, item.metadata["help"]


def test_an_engine_of_a_users_own_brings_its_options(cli, tmp_path, monkeypatch):
    (tmp_path / "batch.py").write_text(USERS_ENGINE)
    monkeypatch.chdir(tmp_path)
    shown = " ".join(cli.call("search", "--engine=batch:QueueEngine", "--help").out.replace("│", " ").split())
    assert "--queue" in shown and "(queue) Queue of the jobs. Default: short." in shown
    given = ("--engine", "batch:QueueEngine", "--hours", "2", "--keep-logs", "--out", tmp_path / "run")
    with pytest.raises(SystemExit, match=r"QueueOptions\(queue='short', hours=2.0, keep_logs=True\)"):
        main([*map(str, (*cli.search, *given))])
    line = cli.bad(*cli.search, "--out", tmp_path / "run", "--engine", "batch:QueueEngine", "--hours", "two")
    assert "--hours" in line and "number" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", 0), "workers=0 must be at least 1"),
        (("--scheduler", "asha"), "unknown option of the local engine 'scheduler'"),
        (("--address", "auto"), "unknown option of the local engine 'address'"),
        (("--gpus", 1), "unknown option of the local engine 'gpus'"),
        (("--workers", 0), "workers=0 must be at least 1"),
        (("--engine", "ray", "--cpus", 0), "cpus=0.0 must be a finite number above 0"),
        (("--engine", "rey"), "unknown engine 'rey': did you mean ray"),
        (("--engine", "ray", "--scheduler", "ahsa"), "unknown scheduler 'ahsa': did you mean asha"),
        (("--engine", "ray", "--gpus", 99), "resources gpu=99 of a trial: this machine has"),
        (("--engine", "ray", "--address", "127.0.0.1:1"), "no Ray cluster answers at '127.0.0.1:1'"),
    ],
)
def test_options_that_cannot_be_met_are_one_line_before_anything_is_trained(cli, tmp_path, arguments, message):
    if "ray" in sys.modules:  # other tests of this process may have left theirs running, and a search would take it
        sys.modules["ray"].shutdown()
    folder = tmp_path / "run"
    assert message in cli.bad(*cli.search, "--out", folder, *arguments)
    assert not list(folder.rglob("*.pt"))


def test_no_early_stopping_may_be_said_to_any_engine():
    context = SimpleNamespace(meta={"engine options": {"scheduler": "none", "workers": None, "port": 1}})
    assert engine_options(context) == {"port": 1}
    make_engine("ray", scheduler="none")


def test_without_ray_the_line_says_how_to_install_it(cli, tmp_path):
    command = [sys.executable, "-c", WITHOUT_RAY, *cli.search, "--engine", "ray", "--out", str(tmp_path / "run")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines()[-1].startswith("error: the ray engine needs Ray Tune")
    assert "pip install 'bankwise[ray]'" in run.stderr.splitlines()[-1]


def test_choosing_an_engine_imports_no_other():
    code = "import sys, bankwise.searching; assert not {'ray', 'nni'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=500)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_search_on_ray_that_is_interrupted_ends_as_the_local_one(cli, finished, tmp_path):
    folder, home = tmp_path / "run", tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {
        "HOME": str(home),
        "MPLCONFIGDIR": str(tmp_path / "plots"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [*cli.search, "--engine", "ray", "--out", folder]
    process = cli.start(*command, env=environment)
    try:
        end = time.monotonic() + 500
        ledger = folder / "search" / "ledger.jsonl"
        while not (ledger.exists() and '"event": "finished"' in ledger.read_text()):
            assert process.poll() is None and time.monotonic() < end, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=500)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "same command" in errors.splitlines()[-1] and "Traceback" not in errors
    assert not (folder / "uniform").exists()

    again = cli.start(*command, env=environment)
    try:
        out, errors = again.communicate(timeout=500)
    finally:
        again.kill()
    assert again.returncode == 0, errors
    assert cli.comparable(json.loads(out), folder) == cli.comparable(finished[1].json, finished[0])
    assert (folder / "model.bankwise").read_bytes() == (finished[0] / "model.bankwise").read_bytes()
    assert not (home / ".ray").exists(), "no token is left"
    assert not list(folder.rglob("ray-folder.txt"))
