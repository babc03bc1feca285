"""The Ray that a job runs on: one started for it and gone after it, or a cluster that is there."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayError
from ray.tune import TuneError

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.files import write_text
from bankwise.strategies.engines.on_ray import RayOptions
from bankwise.trainers.store import DISK_ERRORS

CONNECT_SECONDS, TRY_SECONDS = 5.0, 50.0
TEMPORARY = "bankwise-ray-"
TOKEN = "set RAY_AUTH_MODE=token and put the cluster's token into ~/.ray/auth_token or RAY_AUTH_TOKEN"
LONGEST = 30  # of the temporary folder's path: below it lie sockets, whose paths may have 107 characters
FOLDER_ERRORS = (*DISK_ERRORS, errno.EFBIG, errno.ENOTDIR, errno.EEXIST)
SETTINGS = 4  # type of the frame that a server of HTTP/2 sends first
TRY = """
import logging, sys, ray
try:
    ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
except Exception as error:
    sys.exit(" ".join(str(error).split()))
"""
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


@contextlib.contextmanager
def cluster(options: RayOptions, note: Path | None = None) -> Iterator[str]:
    """Connected to Ray: as this process already is, to `options.address`, or to one started with CPUs for
    `options.workers` trials. What was started or connected here ends with the block, or, where the process was killed,
    with the next one of the same `note`, a file. No usage statistics are sent. Gives the address of
    Ray's web page, empty where there is none or another connected."""
    if ray.is_initialized():
        yield ""
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with contextlib.nullcontext("") if options.address else _temporary_folder(note) as folder:
        try:
            yield connect(options.address) if options.address else _start(options, folder)
        finally:
            ray.shutdown()


def _start(options: RayOptions, folder: str) -> str:
    """The page's address. A token of its own, so that none is written to the home folder; one that is there is used."""
    if not (os.environ.get("RAY_AUTH_TOKEN_PATH") or (Path.home() / ".ray" / "auth_token").exists()):
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    cpus = max(1, math.ceil(options.workers * options.cpus))
    try:
        started = ray.init("local", num_cpus=cpus, include_dashboard=options.dashboard, _temp_dir=folder, **QUIET)
        return started.dashboard_url or ""
    except (RuntimeError, ConnectionError, TimeoutError) as error:
        raise BankwiseError(f"Ray cannot be started on this machine: {_line(error)}") from None


def connect(address: str) -> str:
    """Connect to the cluster at HOST:PORT, or `auto`: RAY_ADDRESS, else the cluster of this machine. Gives the address
    of its web page, empty where it has none.

    Raises BankwiseError, in a minute at most, where no Ray answers there that takes this process.
    """
    if address.startswith("ray://"):
        raise BankwiseError(
            f"address {address!r}: give HOST:PORT of the head node, or submit the search with 'ray job submit'"
        )
    found = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    try:
        if found != "auto":
            _greet(found)
        _try(found)
        return ray.init(found, **QUIET).dashboard_url or ""
    except (ConnectionError, ValueError, OSError, RuntimeError) as error:
        raise BankwiseError(f"no Ray cluster answers at {address!r}: {_line(error)}") from None


def _greet(address: str) -> None:
    """Raises ConnectionError, OSError or ValueError unless a server of gRPC, which Ray's is, answers there: its first
    frame is of HTTP/2's settings."""
    host, _, port = address.rpartition(":")
    if host in ("127.0.0.1", "localhost"):  # as Ray does
        host = ray.util.get_node_ip_address()
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    answer = b""
    with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]))
        while len(answer) < 4 and (more := connection.recv(64)):
            answer += more
    if answer[3:4] != bytes([SETTINGS]):
        raise ConnectionError("what listens there is not Ray")


@functools.cache
def _try(address: str) -> None:
    """Connect in a process of its own: Ray can wait for minutes, and end the process, where it is not accepted."""
    try:
        done = subprocess.run([sys.executable, "-c", TRY, address], capture_output=True, text=True, timeout=TRY_SECONDS)
    except subprocess.TimeoutExpired:
        raise ConnectionError(f"no connection within {TRY_SECONDS:g} seconds") from None
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        if "authenticat" in said.lower() or "token" in said.lower():
            raise ConnectionError(f"it does not take this process's token; {TOKEN}")
        raise ConnectionError(said.splitlines()[-1])


def check_resources(options: RayOptions) -> None:
    """An error where no node has what one trial asks for: Ray would wait for ever."""
    if options.gpus > 1 and options.gpus % 1:
        raise BankwiseError(f"resources gpu={options.gpus:g} of a trial: above 1 it must be a whole number")
    for name, asked in (("cpu", options.cpus), ("gpu", options.gpus)):
        most = max((node["Resources"].get(name.upper(), 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        if asked > most:
            raise BankwiseError(
                f"resources {name}={asked:g} of a trial: no node of the Ray cluster has more than {most:g}"
            )


@contextlib.contextmanager
def one_line(folder: Path) -> Iterator[None]:
    """Errors of Ray and of the disk as one clear line."""
    try:
        yield
    except OutOfDiskError as error:
        raise BankwiseError(f"Ray: the disk of its temporary folder is full: {_line(error)}") from None
    except ObjectStoreFullError as error:
        raise BankwiseError(
            f"Ray: the object store has no room for the task's images and networks: {_line(error)}; "
            "try --limit, or start Ray with a larger --object-store-memory"
        ) from None
    except (RayError, TuneError) as error:
        raise BankwiseError(f"Ray: {_line(error)}") from None
    except OSError as error:
        if error.errno not in FOLDER_ERRORS:
            raise
        raise BankwiseError(f"cannot write {str(error.filename or folder)!r}: {error.strerror}") from None


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    of_another_process = lines[0].startswith(("Traceback", "\x1b[36mray::", "ray::"))
    return lines[-1 if of_another_process else 0][:300]


@contextlib.contextmanager
def _temporary_folder(note: Path | None) -> Iterator[str]:
    """A folder for the logs and sockets of a Ray, whose path `note` keeps: that of a killed run goes first."""
    if note is not None and note.exists():
        left = Path(note.read_text(encoding="utf-8"))
        if left.name.startswith(TEMPORARY):
            shutil.rmtree(left, ignore_errors=True)
    base = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix=TEMPORARY, dir=base if len(base) <= LONGEST else "/tmp")
    try:
        if note is not None:
            write_text(note, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if note is not None:
            note.unlink(missing_ok=True)
