"""A real Ray cluster of two nodes on this machine: `ray start --head`, and a second `ray start --address`.

Each node has a network address, a temporary folder and an object store of its own, all share one home with one token.
Every process of the cluster and of what is run on it carries a mark in its environment, by which it is found and ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bankwise.search_space.price import price
from bankwise.strategies.engines.job import LEDGER
from bankwise.strategies.trials import Record, Trials
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task

SECONDS = 500  # that anything may take on a busy machine
STORE = 150 * 2**20  # bytes of a node's object store
MARK = "BANKWISE_TEST_CLUSTER"
BUDGET = 900  # bytes
SEARCH = (
    f"bankwise search --engine ray --network tiny --data digits --limit 400 --budget {BUDGET} --batch 50 --threads 1 "
    "--epochs 1 --finalists 1 --seeds 1 --final-workers 1 --uniform-trials 1 --address auto"
).split()
TRIAL, TOGETHER = "ray::ImplicitFunc", "ray::RayTrainWorker"  # what Ray calls the processes


def until(what: str, condition: Callable[[], object], seconds: float = SECONDS) -> object:
    """Wait until `condition` gives something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


class Running:
    """A running command; its output goes to a file."""

    def __init__(self, words: list[object], env: dict[str, str], log: Path, cwd: Path | None = None, before=()):
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*before, *map(str, words)], env=env, cwd=cwd, stdout=stream, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        return re.sub(r"\x1b\[\d+m", "", self.log.read_text(errors="replace"))

    def lives(self) -> bool:
        return self.process.poll() is None

    def until_it_says(self, text: str) -> str:
        until(f"{text!r}", lambda: text in self.output or not self.lives())
        assert text in self.output, self.output
        return self.output

    def end(self, seconds: float = SECONDS) -> str:
        """Wait for it; it must succeed. Its output."""
        assert self.process.wait(seconds) == 0, self.output
        return self.output

    def fail(self, code: int, seconds: float = SECONDS) -> str:
        """Wait for it; it must fail with that code. The last line that it says."""
        assert self.process.wait(seconds) == code, self.output
        assert "Traceback" not in self.output
        return self.output.strip().splitlines()[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)


class Search(Running):
    """`bankwise search`, and what it has left in its folder so far."""

    def __init__(self, out: Path, *arguments: object, **options: object):
        super().__init__(*arguments, **options)
        self.out = out

    def ledger(self) -> Trials:
        return Trials.read(self.out / "search" / LEDGER)

    def results(self) -> list[dict]:
        """Every report that Ray has kept of the trials, those of one trial together in their order, starts by time."""
        files = sorted(self.out.glob("search/ray/*/result.json"), key=lambda path: path.stat().st_ctime)
        lines = [line for path in files for line in path.read_text().splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def on_its_way(self, node_ip: str, most: int, but: tuple[int, ...] = ()) -> dict | None:
        """The latest report of a trial on that node that has two epochs or more, up to `most`; none of a process in
        `but`."""
        last = {result["trial_id"]: result for result in self.results() if result["node_ip"] == node_ip}
        fits = (one for one in last.values() if 2 <= one["epoch"] <= most and one["pid"] not in but)
        return next(fits, None)

    def last_try(self, plan: str) -> list[dict]:
        """The reports of the plan's trial that ended well, from its first epoch on."""
        results = [result for result in self.results() if result["plan"] == plan]
        (ended,) = {result["trial_id"] for result in results if result.get("status") == "finished"}
        return [result for result in results if result["trial_id"] == ended]

    def checked(self, trials: int, epochs: int) -> list[Record]:
        """The records once it has ended: that many plans, each within the budget and counted once, by all accounts."""
        kept = self.ledger()
        assert len(kept.plans) == len(kept.records) == len(kept.results) == trials
        assert not kept.running and not kept.queue
        shape = make_task("tiny", load_data("digits", limit=400), Recipe(epochs=1)).shape
        assert len({tuple(record.plan.layers.values()) for record in kept.records}) == trials
        for record in kept.records:
            assert price(shape, record.plan).file_bytes == record.metrics["file_bytes"] <= BUDGET
            assert len(record.metrics["epochs"]) == epochs
        lines = [json.loads(line) for line in (self.out / "metrics.jsonl").read_text().splitlines()]
        assert sorted(line["trial"] for line in lines if line["phase"] == "search") == list(range(trials))
        summary = json.loads((self.out / "summary.json").read_text())
        assert summary["file_bytes"] == summary["planned_bytes"] == (self.out / "model.bankwise").stat().st_size
        assert summary["file_bytes"] <= BUDGET
        return kept.records


class Node(Running):
    """One `ray start`: its processes are its children."""

    def processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        return []

    def called(self, title: str) -> list[psutil.Process]:
        """Its processes to which Ray has given that title."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[0].startswith(title):
                    found.append(process)
        return found

    def kill(self) -> None:
        """The whole node, at once and without warning."""
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.process.wait(SECONDS)
        psutil.wait_procs(processes, timeout=SECONDS)


class Cluster:
    """A head and a second node of one CPU each. Commands that are run on it have its home and its token."""

    until = staticmethod(until)
    trial, together = TRIAL, TOGETHER

    def __init__(self, folder: Path):
        self.folder, self.mark = folder, secrets.token_hex(8)
        self.head: Node
        self.worker: Node
        self.workers = self.commands = 0
        for name in ("home", "tmp", "logs"):
            (folder / name).mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.env = kept | {
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "DASHBOARD_METRIC_PORT": str(free_port()),
            "SPT_NOENV": "1",  # a process keeps its environment where it is when Ray gives it a title
            MARK: self.mark,
        }

    def start(self) -> Cluster:
        self.run("ray", "get-auth-token", "--generate").end()
        options = ("--head", "--port", 0, "--include-dashboard", "true", "--dashboard-port", 0)
        self.head = self._node("head", *options, "--ray-client-server-port", free_port())
        said = self.head.until_it_says("Ray runtime started")
        written = self.folder / "head" / "ray_current_cluster"  # after it was said
        self.address = until("the address", lambda: written.exists() and written.read_text().strip())
        self.env["RAY_ADDRESS"] = self.address
        self.dashboard = re.search(r"RAY_API_SERVER_ADDRESS='(\S+)'", said)[1]
        self.start_worker()
        return self

    def start_worker(self, before: tuple[str, ...] = ()) -> Node:
        """A second node at an address of this machine that no node has had; `before` comes before the command."""
        self.workers += 1
        self.worker_ip = f"127.0.0.{1 + self.workers}"
        options = ("--address", self.address, "--node-ip-address", self.worker_ip, "--include-log-monitor", "false")
        self.worker = self._node(f"worker-{self.workers}", *options, before=before)
        self.worker.until_it_says("Ray runtime started")
        return self.worker

    def _node(self, name: str, *options: object, before: tuple[str, ...] = ()) -> Node:
        words = ["ray", "start", "--block", "--num-cpus", 1, "--object-store-memory", STORE, "--disable-usage-stats"]
        words += ["--dashboard-agent-listen-port", free_port()]  # another cluster here may have the usual one
        log = self.folder / "logs" / f"{name}.log"
        return Node([*words, "--temp-dir", self.folder / name, *options], self.env, log, before=before)

    @property
    def head_ip(self) -> str:
        return self.address.partition(":")[0]

    def run(self, *words: object) -> Running:
        """A command that reaches the cluster."""
        return Running(list(words), self.env, self._log())

    def search(self, out: Path, *options: object, before: tuple[object, ...] = (), **where: object) -> Search:
        """`bankwise search` of a tiny network on few images, in this cluster; `before` comes before the command."""
        return Search(out, [*before, *SEARCH, "--out", out, *options], self.env, self._log(), **where)

    def _log(self) -> Path:
        self.commands += 1
        return self.folder / "logs" / f"command-{self.commands}.log"

    def processes(self) -> list[psutil.Process]:
        """Every process that carries the mark."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def end(self) -> None:
        """Nothing stays, neither process nor file."""
        marked = self.processes()
        for _ in range(5):  # what was about to be started when its parent ended, too
            for process in marked:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(marked, timeout=30)
            if not (marked := self.processes()):
                break
        shutil.rmtree(self.folder)
        assert not marked, marked


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="package")
def started() -> Iterator[Cluster]:
    pytest.importorskip("ray")
    made = Cluster(Path(tempfile.mkdtemp(prefix="bw-", dir="/tmp")))  # short: below it lie sockets
    try:
        yield made.start()
    finally:
        made.end()


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    """Both nodes there; at the end of a test, nothing of it is left running."""
    if not started.worker.lives():
        started.start_worker()
    yield started
