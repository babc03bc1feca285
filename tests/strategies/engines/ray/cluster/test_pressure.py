"""What a user reads where the cluster lacks something: a disk, a folder, a token, a CPU."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray-cluster")]
EPOCHS = 20
SEARCH = ("--strategy", "uniform", "--trials", 3, "--workers", 2, "--trial-epochs", EPOCHS)


def permitted(*words: object) -> None:
    """Run a command of an administrator; without the right to, the test is skipped."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{words[0]} is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    permitted("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", path)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(disk: Path, left: int) -> Path:
    """A file that leaves that many bytes of the disk."""
    space = os.statvfs(disk)
    path = disk / "filler"
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, space.f_bavail * space.f_frsize - left)
    return path


def test_a_full_disk_is_one_line_and_the_search_goes_on_once_there_is_room(cluster, small_disk):
    run = cluster.search(small_disk / "run", *SEARCH)
    cluster.until("some epochs", lambda: len(run.results()) > 2 or not run.lives())
    filler = fill(small_disk, 30_000)  # room for the journal, not for a checkpoint
    line = run.fail(2)
    assert line.startswith("error: cannot write") and str(small_disk) in line and "No space left on device" in line
    filler.unlink()
    again = cluster.search(small_disk / "run", *SEARCH)
    again.end()
    again.checked(3, EPOCHS)


def test_a_folder_that_a_node_does_not_reach_is_one_line(cluster, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    long = ("--trial-epochs", 100 * EPOCHS)  # the other node does not get through them all before this one begins
    cluster.worker.kill()
    permitted("unshare", "--mount", "true")
    cluster.start_worker(("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(out)))
    try:
        line = cluster.search(out, *SEARCH, *long).fail(2)
    finally:
        cluster.worker.kill()
    assert line.startswith(f"error: node {cluster.worker_ip} does not reach the folder of the search")


def test_another_token_and_too_many_cpus_are_one_line(cluster, tmp_path):
    run = cluster.search(tmp_path / "run", *SEARCH, "--cpus", "2")
    assert run.fail(2) == "error: resources cpu=2 of a trial: no node of the Ray cluster has more than 1"
    run = cluster.search(tmp_path / "run", *SEARCH, before=("env", f"RAY_AUTH_TOKEN={'f' * 64}"))
    assert "does not take this process's token" in run.fail(2) and len(run.output.splitlines()) == 1
