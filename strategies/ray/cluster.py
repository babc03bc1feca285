"""The Ray that a job runs on: one started for it and gone after it, or a cluster that is there."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import ray
from ray._private.grpc_utils import init_grpc_channel
from ray._private.ray_constants import GLOBAL_GRPC_OPTIONS
from ray._private.services import canonicalize_bootstrap_address
from ray.core.generated.gcs_service_pb2 import GetClusterIdRequest
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
from ray.exceptions import AuthenticationError, ObjectStoreFullError, OutOfDiskError, RayError
from ray.tune import TuneError

from search_space.errors import BankwiseError
from search_space.files import write_text
from strategies.job import EngineOptions

REACH_SECONDS = 5.0
TEMPORARY = "bankwise-ray-"
TOKEN = "set RAY_AUTH_MODE=token and put the cluster's token into ~/.ray/auth_token or RAY_AUTH_TOKEN"
LONGEST = 30  # of the temporary folder's path: below it lie sockets, whose paths may have 107 characters
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENOTDIR)
QUIET = {"log_to_driver": False, "logging_level": logging.CRITICAL}


@contextlib.contextmanager
def cluster(options: EngineOptions, note: Path | None = None) -> Iterator[None]:
    """Connected to Ray: as this process already is, to `options.address`, or to one started with CPUs for
    `options.workers` trials. What was started or connected here ends with the block, or, where the process was killed,
    with the next one of the same `note`, a file. No usage statistics are sent."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with contextlib.ExitStack() as stack:
        if options.address is None:
            folder = stack.enter_context(_temporary_folder(note))
            _use_token()
            stack.callback(ray.shutdown)
            _start(options, folder)
        else:
            stack.callback(ray.shutdown)
            connect(options.address)
        yield


def _start(options: EngineOptions, folder: str) -> None:
    cpus = max(1, math.ceil(options.workers * options.cpus))
    try:
        ray.init("local", num_cpus=cpus, include_dashboard=False, _temp_dir=folder, **QUIET)
    except (RuntimeError, ConnectionError, TimeoutError) as error:
        raise BankwiseError(f"Ray cannot be started on this machine: {_line(error)}") from None


def connect(address: str) -> None:
    """Connect to the cluster at HOST:PORT, or `auto`: RAY_ADDRESS, else the cluster of this machine."""
    if address.startswith("ray://"):
        raise BankwiseError(
            f"address {address!r}: give HOST:PORT of the head node, or submit the search with 'ray job submit'"
        )
    try:
        found = canonicalize_bootstrap_address(address)
        _greet(str(found))
        ray.init(found, **QUIET)
    except AuthenticationError as error:
        raise BankwiseError(f"Ray cluster {address!r}: {_line(error).partition('. ')[0]}; {TOKEN}") from None
    except (ConnectionError, ValueError, OSError, RuntimeError) as error:
        raise BankwiseError(f"no Ray cluster answers at {address!r}: {_line(error)}") from None


def _greet(address: str) -> None:
    """An error unless a Ray answers there and takes this process's token: Ray itself prints a line a second for as long
    as minutes, and can end the process."""
    int(address.rpartition(":")[2])
    try:
        with init_grpc_channel(address, GLOBAL_GRPC_OPTIONS) as channel:
            NodeInfoGcsServiceStub(channel).GetClusterId(GetClusterIdRequest(), timeout=REACH_SECONDS)
    except grpc.RpcError as error:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAUTHENTICATED:
            raise ConnectionError(f"it does not take this process's token; {TOKEN}") from None
        if "HTTP" in details or code is grpc.StatusCode.UNIMPLEMENTED:
            raise ConnectionError("what listens there is not Ray") from None
        reason = "timed out" if code is grpc.StatusCode.DEADLINE_EXCEEDED else details.rpartition(": ")[2]
        raise ConnectionError(reason) from None


def check_resources(options: EngineOptions) -> None:
    """An error where no node has what one trial asks for: Ray would wait for ever."""
    for name, asked, option in (("CPU", options.cpus, "cpu"), ("GPU", options.gpus, "gpu")):
        most = max((node["Resources"].get(name, 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        if asked > 1 and name == "GPU" and asked % 1:
            raise BankwiseError(f"resources {option}={asked:g} of a trial: above 1 it must be a whole number")
        if asked > most:
            raise BankwiseError(
                f"resources {option}={asked:g} of a trial: no node of the Ray cluster has more than {most:g}"
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
        if error.errno not in DISK_ERRORS:
            raise
        raise BankwiseError(f"cannot write {str(error.filename or folder)!r}: {error.strerror}") from None


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    of_another_process = lines[0].startswith(("Traceback", "\x1b[36mray::", "ray::"))
    return lines[-1 if of_another_process else 0][:300]


def _use_token() -> None:
    """A token for the Ray of this process, so that none is written to the home folder; one that is there is used."""
    if not (os.environ.get("RAY_AUTH_TOKEN_PATH") or (Path.home() / ".ray" / "auth_token").exists()):
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


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
