"""NNI itself, in a home of its own, and everything that a test started ended with it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from bankwise.command_line import main
from bankwise.search_space.files import write_text
from bankwise.search_space.plan import Plan
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.strategies.engines.nni.search import Search
from bankwise.strategies.engines.nni.search_space import search_space
from bankwise.strategies.engines.nni.tuner import BudgetTuner
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import RUNNING, TrialRecord
from bankwise.trainers.task import TaskSource

NNICTL = Path(sys.executable).with_name("nnictl")
SECONDS = 500  # that a condition may take on a busy machine
COMMAND = "--network tiny --data digits --limit 200 --budget 1000 --epochs 2 --trial-epochs 2".split()


def _tiny(**changes) -> Experiment:
    source = TaskSource("tiny", "digits", limit=200)
    values = {
        "source": source,
        "training": Recipe(epochs=1),
        "budget": "1000",
        "input_shape": (1, 8, 8),
        "classes": 10,
        "trial_epochs": 1,
    }
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
        for _ in range(3):
            told = self._start("create", "--config", self.folder / "config.yml")
            self.id = re.search(r"Experiment ID: (\w+)", told)[1]
            if self._connected(0):
                return self
            self.end()
        raise AssertionError("NNI's tuner did not connect in ten seconds, three times")

    def resume(self, port: int | None = None) -> Nni:
        before = self._logged("dispatcher", "Dispatcher started")
        self._start("resume", self.id, port=port)
        assert self._connected(before), "NNI's tuner did not connect in ten seconds"
        return self

    def _connected(self, before: int) -> bool:
        """Whether the tuner connects in the ten seconds that NNI gives it: too few where a machine is very busy."""
        failed = ("nnimanager", "Tuner did not connect")
        until("the tuner", lambda: self._logged("dispatcher", "Dispatcher started") > before or self._logged(*failed))
        return not self._logged(*failed)

    def _logged(self, log: str, words: str) -> int:
        path = self.path / "log" / f"{log}.log"
        return path.read_text().count(words) if path.exists() else 0

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

    def jobs(self) -> list[dict]:
        """As NNI's web interface lists them, with the `parameters` of each; of an ended experiment too."""
        found = sorted(self.rest("trial-jobs"), key=lambda job: job["sequenceId"])
        return [job | json.loads(job["hyperParameters"][0]) for job in found]

    def states(self) -> list[str]:
        return [job["status"] for job in self.jobs()]

    def epochs(self, job: str) -> list[dict]:
        """What the trial job reported."""
        found = [one for one in self.rest(f"metric-data/{job}") if one["type"] == "PERIODICAL"]
        return [json.loads(json.loads(one["data"])) for one in sorted(found, key=lambda one: one["sequence"])]

    def records(self, status: str = "finished") -> list[TrialRecord]:
        return [one for one in self.experiment.store(self.folder).records() if one.status == status]

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
                if process.is_running() and words[1:3] == ["-m", "bankwise.strategies.engines.nni.trial"]:
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
        gone, left = psutil.wait_procs(self._seen, timeout=60)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        gone, left = psutil.wait_procs(left, timeout=100)
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


class Process:
    """What a trial's process leaves in the trial store: it holds the lock while it lives."""

    def __init__(self, search: Search, plan: Plan):
        self.place = search.store.place(plan, search.recipe)
        self.place.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.place / "lock")
        self._lock.acquire()
        self.record = TrialRecord(plan, RUNNING)
        self._write()

    def end(self, status: str, reason: str = "", accuracy: float = 0.5) -> None:
        metrics = {"accuracy": accuracy, "file_bytes": 1} if status == "finished" else None
        epochs = (EpochReport(1, 1, 0.5, accuracy, 1.0),) if status == "finished" else ()
        self.record = dataclasses.replace(self.record, status=status, reason=reason, metrics=metrics, epochs=epochs)
        self._write()
        self._lock.release()

    def die(self) -> None:
        """As at a process's end by SIGKILL."""
        self._lock.release()

    def _write(self) -> None:
        record = dataclasses.replace(self.record, time=time.time())
        write_text(self.place / "trial.json", json.dumps(record.to_dict()))


@pytest.fixture
def trial_process() -> type[Process]:
    return Process


class Tuner(BudgetTuner):
    """BudgetTuner, with what its tests ask of it."""

    @property
    def points(self) -> PlanEncoding:
        return self.search.points

    def plan(self, parameters: dict) -> Plan:
        return self.search.space.plan(self.points.decode(parameters))

    def metric(self, parameters: dict, accuracy: float = 0.5) -> dict:
        """As a trial of the parameters reports it."""
        return {"default": accuracy, "file_bytes": 1, "plan": self.plan(parameters).text}

    def results(self) -> list[float]:
        """What the strategy was told."""
        return [accuracy for _, accuracy in self.search.ledger.strategy.results]

    def begin(self, parameters: dict) -> Process:
        return Process(self.search, self.plan(parameters))


@pytest.fixture
def folder(small: Experiment, tmp_path: Path) -> Path:
    small.write(tmp_path / "experiment")
    return tmp_path / "experiment"


@pytest.fixture
def make(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tuner]:
    """A tuner as NNI starts it; `again`: a resumed one, with the parameters of the jobs that NNI starts again, where
    its manager `answers`."""
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path / "EXP" / "checkpoint"))
    (tmp_path / "EXP" / "checkpoint").mkdir(parents=True)
    started: list[Tuner] = []

    def start(strategy: str = "random", seed: int = 1, again: list[dict] | None = None, answers: bool = True) -> Tuner:
        for one in started:
            one.search.ledger.close()
        tuner = Tuner(str(folder), strategy, seed)
        if again is not None:
            points = PlanEncoding(Experiment.read(folder).budgeted)
            plans = [points.space.plan(points.decode(parameters)) for parameters in again]
            monkeypatch.setattr(Search, "_run_again", lambda search: plans if answers else None)
            tuner.load_checkpoint()
        else:
            monkeypatch.setattr(
                Search, "_run_again", lambda search: [search.ledger.plans[n] for n in search.ledger.running]
            )
        tuner.update_search_space(search_space(tuner.points, "choice"))
        started.append(tuner)
        return tuner

    return start
