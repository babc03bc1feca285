"""Starting and finding a Ray: what is left behind, what is said where there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

pytest.importorskip("ray")
import ray
from ray.exceptions import ObjectStoreFullError, RaySystemError
from ray.tune import TuneError

from search_space.errors import BankwiseError
from strategies.job import EngineOptions
from strategies.ray import check_ray, run_ray
from strategies.ray.cluster import TEMPORARY, _temporary_folder, cluster, one_line

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("home")]


@contextlib.contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """The address of a server that is not Ray: it says nothing (None), or `answer`."""
    with socket.create_server(("", 0)) as listening:  # Ray looks for the local host at the machine's own address

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    if answer is not None:
                        connection.sendall(answer)
                    connection.settimeout(30)
                    while connection.recv(1000):
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def unreachable(address: str, message: str) -> None:
    begin = time.monotonic()
    with pytest.raises(BankwiseError, match=message) as raised:
        check_ray(EngineOptions(address=address))
    assert time.monotonic() - begin < 60
    assert "\n" not in str(raised.value) and not ray.is_initialized()


def test_an_address_where_nobody_answers_is_said_soon():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    unreachable(f"127.0.0.1:{port}", f"no Ray cluster answers at '127.0.0.1:{port}': Connection refused")
    for answer, reason in ((None, "timed out"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not Ray")):
        with server(answer) as address:
            unreachable(address, f"no Ray cluster answers at '{address}': .*{reason}")


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", "nohost.invalid:6379"])
def test_an_address_that_is_none_is_one_line(address):
    unreachable(address, f"no Ray cluster answers at '{address}'")


def test_ray_client_is_refused_with_what_would_be_right():
    unreachable("ray://127.0.0.1:10001", "give HOST:PORT of the head node, or submit")


def test_auto_takes_the_address_of_the_environment(monkeypatch):
    with server(b"220 mail\r\n") as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        unreachable("auto", "no Ray cluster answers at 'auto': what listens there is not Ray")


def test_a_ray_of_its_own_leaves_nothing_behind_nor_does_a_killed_one(home, tmp_path):
    note, killed = tmp_path / "note", tmp_path / f"{TEMPORARY}abc"
    (killed / "session_latest").mkdir(parents=True)
    note.write_text(str(killed))
    with pytest.raises(ZeroDivisionError), cluster(EngineOptions(workers=2, cpus=0.75), note):
        assert not killed.exists()
        folder = Path(note.read_text())
        assert folder.is_dir() and folder.name.startswith(TEMPORARY)
        assert ray.cluster_resources()["CPU"] == 2
        started = psutil.Process().children(recursive=True)
        assert started
        with cluster(EngineOptions(workers=7)):  # as it already is
            assert ray.cluster_resources()["CPU"] == 2
        assert ray.is_initialized()
        raise ZeroDivisionError
    assert not ray.is_initialized()
    assert not folder.exists() and not note.exists()
    assert not psutil.wait_procs(started, timeout=30)[1]
    assert not list(home.iterdir())


def test_a_note_of_another_folder_removes_nothing(tmp_path):
    note, kept = tmp_path / "note", tmp_path / "precious"
    kept.mkdir()
    note.write_text(str(kept))
    with _temporary_folder(note) as folder:
        assert kept.exists() and Path(folder) != kept


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ObjectStoreFullError("full\nof objects"), "^Ray: the object store has no room .*: full; try --limit"),
        (RaySystemError("system"), "^Ray: System error: system"),
        (
            TuneError("Traceback (most recent call last):\n  File x\nValueError: deep down"),
            "^Ray: ValueError: deep down$",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "^cannot write '/x/y': No space left on device$"),
        (OSError(errno.EFBIG, "File too large"), "^cannot write '.*folder': File too large$"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_of_ray_and_of_the_disk_are_one_line(error, message, tmp_path):
    with pytest.raises(BankwiseError, match=message) as raised, one_line(tmp_path / "folder"):
        raise error
    assert "\n" not in str(raised.value)


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (KeyboardInterrupt, ZeroDivisionError, ConnectionResetError(errno.ECONNRESET, "reset")):
        with pytest.raises(error if isinstance(error, type) else type(error)), one_line(tmp_path):
            raise error


def test_a_full_disk_below_ray_is_one_line(make_job, ray_folder):
    """A disk that counts as full from its first byte on, and images that do not fit into the object store."""
    job = make_job(1)
    images = torch.zeros((3 * 10**6, 1, 8, 8), dtype=torch.uint8)  # 192 MB
    data = dataclasses.replace(job.task.data, train_x=images, train_y=torch.zeros(len(images), dtype=torch.int64))
    ray.init(
        "local",
        num_cpus=1,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="CRITICAL",
        _temp_dir=ray_folder,
        _system_config={"local_fs_capacity_threshold": 0.0},
    )
    try:
        with pytest.raises(BankwiseError, match="^Ray: the disk of its temporary folder is full"):
            run_ray(dataclasses.replace(job, task=dataclasses.replace(job.task, data=data)))
    finally:
        ray.shutdown()


@pytest.fixture(scope="module")
def head(home, tmp_path_factory) -> Iterator[str]:
    """A cluster of one node by `ray start`, with a token: its address."""
    folder = tmp_path_factory.mktemp("head")
    temporary = Path(f"/tmp/bankwise-head-{os.getpid()}")
    program = Path(sys.executable).with_name("ray")
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    options = f"--head --block --port=0 --num-cpus=1 --include-dashboard=false --temp-dir={temporary}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "start", *options.split(), "--object-store-memory=100000000", "--disable-usage-stats"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        current, end = temporary / "ray_current_cluster", time.monotonic() + 90
        while not current.exists() or not current.read_text().strip():
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.2)
        yield current.read_text().strip()
    finally:
        started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(90)
        for left in psutil.wait_procs(started, timeout=30)[1]:
            left.kill()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.slow
def test_a_search_on_a_cluster_with_a_token(head, tmp_path):
    """In a process of its own, which has the token; then in one that has another."""
    search = "search --network tiny --data digits --limit 300 --budget 900 --trials 2 --uniform-trials 1 --finalists 1"
    search += f" --seeds 1 --epochs 1 --trial-epochs 2 --engine ray --address {head} --json --out"
    environment = os.environ | {"RAY_AUTH_MODE": "token"}
    runs = {}
    for token in ("0123456789abcdef" * 4, "f" * 64):
        runs[token] = subprocess.run(
            [sys.executable, "-m", "bankwise", *search.split(), str(tmp_path / token[:4])],
            env=environment | {"RAY_AUTH_TOKEN": token},
            capture_output=True,
            text=True,
            timeout=200,
        )
    right, wrong = runs.values()
    assert right.returncode == 0, right.stderr
    assert (tmp_path / "0123" / "model.bankwise").exists()
    assert wrong.returncode == 2 and wrong.stdout == ""
    last = wrong.stderr.splitlines()[-1]
    assert last.startswith(f"error: no Ray cluster answers at '{head}'") and "token" in last
    assert "Traceback" not in wrong.stderr
