"""The engines by the command line: options, what is missing, and a search on Ray like the local one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bankwise.cli.engines import resources
from bankwise.engines import ENGINES
from search_space.errors import BankwiseError
from strategies.job import EngineOptions

WITHOUT_RAY = (
    "import sys; sys.modules['ray'] = None; from bankwise.command_line import main; sys.exit(main(sys.argv[1:]))"
)


def test_resources():
    assert resources(None) == {}
    assert resources("cpu=1,gpu=0.25") == {"cpus": 1.0, "gpus": 0.25}
    assert resources(" gpu = .5 ") == {"gpus": 0.5}


@pytest.mark.parametrize("text", ["", "cpu", "cpu=", "cpu=one", "cpu=1;gpu=1", "cpu=-1", "cpu=1,", "=1", "cpu=1e3"])
def test_resources_that_cannot_be_read(text):
    with pytest.raises(BankwiseError, match="is not NAME=NUMBER.*such as cpu=1,gpu=0.25"):
        resources(text)


def test_an_unknown_resource_says_which_there_are():
    with pytest.raises(BankwiseError, match="unknown resource 'gpus': did you mean gpu"):
        resources("gpus=1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", 2), "the local engine runs whole trials, one at a time: workers 2"),
        (("--scheduler", "asha"), "scheduler asha needs another engine"),
        (("--address", "auto"), "address auto needs another engine"),
        (("--resources", "gpu=1"), "gpus 1.0 needs another engine"),
        (("--workers", 0), "workers=0 must be at least 1"),
        (("--resources", "cpu=0"), "cpus=0.0 of a trial must be above 0"),
        (("--engine", "rey"), "unknown engine 'rey': did you mean ray"),
        (("--engine", "ray", "--scheduler", "ahsa"), "unknown scheduler 'ahsa': did you mean asha"),
        (("--engine", "ray", "--resources", "gpu=99"), "resources gpu=99 of a trial: this machine has"),
        (("--engine", "ray", "--address", "127.0.0.1:1"), "no Ray cluster answers at '127.0.0.1:1'"),
    ],
)
def test_options_that_cannot_be_met_are_one_line_before_anything_is_trained(cli, tmp_path, arguments, message):
    folder = tmp_path / "run"
    assert message in cli.bad(*cli.search, "--out", folder, *arguments)
    assert not list(folder.rglob("*.pt"))


def test_no_early_stopping_may_be_said_to_any_engine():
    ENGINES["local"].check(EngineOptions(scheduler="none"))


def test_without_ray_the_line_says_how_to_install_it(cli, tmp_path):
    command = [sys.executable, "-c", WITHOUT_RAY, *cli.search, "--engine", "ray", "--out", str(tmp_path / "run")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines()[-1].startswith("error: the ray engine needs Ray Tune")
    assert "pip install 'bankwise[ray]'" in run.stderr.splitlines()[-1]


def test_choosing_an_engine_imports_no_other():
    code = "import sys, bankwise.searching; assert not {'ray', 'nni'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGINT])
def test_a_search_on_ray_that_is_stopped_in_the_middle_ends_as_the_local_one(cli, finished, tmp_path, with_signal):
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
        end = time.monotonic() + 200
        while not (folder / "search.json").exists() or not json.loads((folder / "search.json").read_text())["trials"]:
            assert process.poll() is None and time.monotonic() < end, process.communicate()
            time.sleep(0.01)
        process.send_signal(with_signal)
        errors = process.communicate(timeout=100)[1]
    finally:
        process.kill()
    if with_signal == signal.SIGINT:
        assert process.returncode == 130
        assert "same command" in errors.splitlines()[-1] and "Traceback" not in errors
    else:
        assert process.returncode == -signal.SIGKILL
    assert not (folder / "uniform.json").exists()

    again = cli.start(*command, env=environment)
    try:
        out, errors = again.communicate(timeout=300)
    finally:
        again.kill()
    assert again.returncode == 0, errors
    assert cli.told(json.loads(out), folder) == cli.told(finished[1].json, finished[0])
    assert (folder / "model.bankwise").read_bytes() == (finished[0] / "model.bankwise").read_bytes()
    assert not (home / ".ray").exists(), "no token is left"
    assert not list(folder.rglob("ray-folder.txt"))
