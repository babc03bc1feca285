"""NNI itself, in a home of its own, and everything that a test started ended with it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import nni_node
import psutil
import pytest

from bankwise.command_line import main
from strategies.nni import database
from strategies.nni.attempts import Held
from strategies.nni.database import TrialJob
from strategies.nni.experiment import Experiment
from strategies.nni.points import Points
from strategies.nni.records import Record, records
from strategies.nni.tuner import BudgetTuner
from trainers.recipe import Recipe
from trainers.task import TaskSource

NNICTL = Path(sys.executable).with_name("nnictl")
SECONDS = 280  # that a condition may take on a busy machine
COMMAND = "--network tiny --data digits --limit 200 --budget 1000 --epochs 2 --trial-epochs 2".split()


def _tiny(**changes) -> Experiment:
    source = TaskSource("tiny", "digits", Recipe(epochs=1), limit=200)
    values = {"source": source, "budget": "1000", "input_shape": (1, 8, 8), "classes": 10, "trial_epochs": 1}
    return Experiment(**values | changes)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Experiment]:
    """Makes an experiment of five layers and 1,000 bytes, one epoch a trial; with changes."""
    return _tiny


@pytest.fixture(scope="session")
def small() -> Experiment:
    return _tiny()


def _command(*arguments: object) -> str:
    """What the command line prints; it must succeed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    assert code == 0, err.getvalue()
    return out.getvalue()


def until(what: str, condition: Callable[[], object], seconds: float = SECONDS) -> object:
    """Wait until `condition` gives something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)
    return found


class Nni:
    """One experiment at a time, through `nnictl`."""

    command, until = staticmethod(_command), staticmethod(until)

    def __init__(self, home: Path, folder: Path):
        self.home, self.folder = home, folder
        self.id, self.port, self._seen = "", 0, set()

    def init(self, *options: object) -> Nni:
        self.command("nni", "init", self.folder, *COMMAND, *options)
        return self

    def ctl(self, *arguments: object) -> str:
        run = subprocess.run([NNICTL, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS)
        assert run.returncode == 0, run.stdout + run.stderr
        return re.sub(r"\x1b\[\d+m", "", run.stdout)

    def create(self) -> Nni:
        told = self._start("create", "--config", self.folder / "config.yml")
        self.id = re.search(r"Experiment ID: (\w+)", told)[1]
        return self

    def resume(self, port: int | None = None) -> Nni:
        self._start("resume", self.id, port=port)
        return self

    def _start(self, *arguments: object, port: int | None = None) -> str:
        """NNI ends its web server where that is not there after three seconds, as on a busy machine."""
        for left in (3, 2, 1, 0):
            self.port = port or self.free_port()
            try:
                return self.ctl(*arguments, "--port", self.port)
            except AssertionError:
                if not left:
                    raise

    @property
    def path(self) -> Path:
        """NNI's folder of the experiment."""
        return self.home / "nni-experiments" / self.id

    def rest(self, path: str, method: str = "GET", body: object = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        address = f"http://localhost:{self.port}/api/v1/nni/{path}"
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def status(self) -> str:
        self.note()
        answer = self.rest("check-status")
        assert answer["status"] != "ERROR", (answer, self.log())
        return answer["status"]

    def log(self) -> str:
        return (self.path / "log" / "dispatcher.log").read_text()

    def jobs(self) -> list[TrialJob]:
        return database.trial_jobs(self.path)

    def states(self) -> list[str]:
        return [job.status for job in self.jobs()]

    def records(self) -> list[Record]:
        return records(self.folder)

    def checkpoints(self) -> list[Path]:
        return list(self.folder.glob("trials/*/checkpoint.pt"))

    def finish(self, seconds: float = SECONDS) -> Nni:
        until("the experiment to be done", lambda: self.status() == "DONE", seconds)
        return self

    @property
    def manager(self) -> psutil.Process:
        listed = json.loads((self.home / "nni-experiments" / ".experiment").read_text())
        return psutil.Process(listed[self.id]["pid"])

    def trials(self) -> list[psutil.Process]:
        """The processes of trials that have begun to train."""
        self.note()
        found = []
        for process in self._seen:
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if process.is_running() and words[1:3] == ["-m", "strategies.nni.trial"]:
                    found.append(process)
        return found

    def note(self) -> None:
        """Remember every process of the experiment, to be able to end it."""
        with contextlib.suppress(psutil.Error, KeyError, OSError, ValueError):
            self._seen |= {self.manager, *self.manager.children(recursive=True)}

    def seen(self) -> set[psutil.Process]:
        """Every process of the experiment so far."""
        return self._seen

    def manager_lives(self) -> bool:
        try:
            return self.manager.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    @property
    def experiment(self) -> Experiment:
        return Experiment.read(self.folder)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def stop(self) -> None:
        self.note()
        self.ctl("stop", self.id)

    def end(self) -> None:
        """By the process's number, and only our own."""
        if not self.id:
            return
        self.note()
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            self.manager.send_signal(signal.SIGTERM)
        gone, left = psutil.wait_procs(self._seen, timeout=40)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        gone, left = psutil.wait_procs(left, timeout=10)
        assert not left

    @staticmethod
    def free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            return probe.getsockname()[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a place for NNI's registrations, which it keeps in the virtual environment otherwise."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("NNI_CONFIG_DIR", str(tmp_path / "registered"))
    for name in list(os.environ):
        if name.startswith("NNI_") and name != "NNI_CONFIG_DIR":
            monkeypatch.delenv(name)
    return path


@pytest.fixture
def nni(home: Path, tmp_path: Path) -> Iterator[Nni]:
    made = Nni(home, tmp_path / "experiment")
    try:
        yield made
    finally:
        made.end()


class Books:
    """NNI's database of an experiment EXP, with the tables that NNI itself makes, and its folder for a tuner."""

    def __init__(self, root: Path):
        self.checkpoint = root / "EXP" / "checkpoint"
        self.checkpoint.mkdir(parents=True)
        self.database = root / "EXP" / "db" / "nni.sqlite"
        self.database.parent.mkdir()
        self.clear()

    def clear(self) -> None:
        self.database.unlink(missing_ok=True)
        script = (Path(nni_node.__path__[0]) / "core" / "sqlDatabase.js").read_text()
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(re.search(r"createTables = `(.*?)`", script, re.S)[1])

    def submit(self, job: str, number: int | None, parameters: object) -> None:
        packed = {"parameter_id": number, "parameter_source": "algorithm", "parameters": parameters}
        self.event(job, "WAITING", json.dumps(packed))
        self.event(job, "RUNNING")

    def event(self, job: str, name: str, data: str = "", ago: float = 0) -> None:
        self._run("insert into TrialJobEvent values (?,?,?,?,?,?,?,?)",
                  int(1000 * (time.time() - ago)), job, name, data, None, 0, None, "local-env")  # fmt: skip

    def metric(self, job: str, kind: str, sequence: int, value: object) -> None:
        data = json.dumps(json.dumps(value))
        self._run("insert into MetricData values (?,?,?,?,?,?)", 0, job, "0", kind, sequence, data)

    def _run(self, query: str, *values: object) -> None:
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute(query, values)
            connection.commit()


@pytest.fixture
def make_books() -> type[Books]:
    return Books


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Books:
    made = Books(tmp_path / "nni-experiments")
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(made.checkpoint))
    return made


class Tuner(BudgetTuner):
    """BudgetTuner, with what its tests ask of it."""

    @property
    def points(self) -> Points:
        return self.search.points

    def metric(self, parameters: dict, accuracy: float = 0.5) -> dict:
        """As a trial of the parameters reports it."""
        return {"default": accuracy, "file_bytes": 1, "plan": self.points.text(self.points.decode(parameters))}

    def told(self) -> list[float]:
        """What the strategy was told."""
        return [accuracy for _, accuracy in self.search.proposals.strategy.told]

    def begin(self, number: int, parameters: dict, job: str = "") -> Held:
        """What a trial's process leaves behind when it starts."""
        return Held(self.search.folder, "EXP", job or f"job{number}", parameters)


@pytest.fixture
def folder(small: Experiment, tmp_path: Path) -> Path:
    small.write(tmp_path / "experiment")
    return tmp_path / "experiment"


@pytest.fixture
def make(folder: Path, books: Books) -> Callable[..., Tuner]:
    """A tuner as NNI starts it."""

    def start(strategy: str = "random", seed: int = 1, resume: bool = False) -> Tuner:
        tuner = Tuner(str(folder), strategy, seed)
        if resume:
            tuner.load_checkpoint()
        tuner.update_search_space(tuner.points.search_space("choice"))
        return tuner

    return start
