"""Starting and finding a Ray: what is left behind, what is said where there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import socket
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

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.engines.on_ray import RayOptions
from bankwise.strategies.engines.ray import check_ray, run_ray
from bankwise.strategies.engines.ray.cluster import TEMPORARY, _temporary_folder, cluster, one_line

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("no_ray")]


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
        check_ray(RayOptions(address=address))
    assert time.monotonic() - begin < 100
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
    before = psutil.Process().children(recursive=True)  # of other tests, such as multiprocessing's resource tracker
    with pytest.raises(ZeroDivisionError), cluster(RayOptions(workers=2, cpus=0.75), note):
        assert not killed.exists()
        folder = Path(note.read_text())
        assert folder.is_dir() and folder.name.startswith(TEMPORARY)
        assert ray.cluster_resources()["CPU"] == 2
        started = [one for one in psutil.Process().children(recursive=True) if one not in before]
        assert started
        with cluster(RayOptions(workers=7)):  # as it already is
            assert ray.cluster_resources()["CPU"] == 2
        assert ray.is_initialized()
        raise ZeroDivisionError
    assert not ray.is_initialized()
    assert not folder.exists() and not note.exists()
    assert not psutil.wait_procs(started, timeout=500)[1]
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
