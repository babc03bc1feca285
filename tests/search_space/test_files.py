import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.files import TEMPORARY, scratch, sweep, write_bytes, write_files, write_text


def test_written_whole_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_bytes(path, b"one")
    write_text(path, "zwei ü")
    assert path.read_text(encoding="utf-8") == "zwei ü"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_several_files_are_all_written_or_none(tmp_path):
    (tmp_path / "there" / "b").mkdir(parents=True)
    (tmp_path / "there" / "a").write_bytes(b"old")
    for folder in (tmp_path / "there", tmp_path / "there" / "a" / "below"):
        with pytest.raises(BankwiseError, match=r"cannot write '.*[ab]': (Is|Not) a directory"):
            write_files({folder / "a": b"new", folder / "b": b"new", folder / "c": b"new"})
    new = tmp_path / "new" / "folder"
    with pytest.raises(BankwiseError, match=r"cannot write '.*there/b': Is a directory"):
        write_files({new / "a": b"new", tmp_path / "there" / "b": b"new"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "there"]
    assert (tmp_path / "there" / "a").read_bytes() == b"old"
    write_files({new / "a": b"1", new / "b": b"2"})
    assert {path.name: path.read_bytes() for path in new.iterdir()} == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0, 0o666)])
def test_permissions_are_those_that_the_umask_leaves(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "file", "text")
        write_text(tmp_path / "file", "again")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_what_killed_writers_left_is_swept_and_what_others_write_is_not(tmp_path):
    """Two processes are about to rename when one of them is killed."""
    script = (
        "import os, pathlib, sys, time; from bankwise.search_space import files;"
        "os.replace = lambda *paths: (print('written', flush=True), time.sleep(60));"
        "files.write_text(pathlib.Path(sys.argv[1]), 'text')"
    )
    (tmp_path / "trials").mkdir()
    command = [sys.executable, "-c", script, tmp_path / "trials" / "trial.json"]
    killed, other = writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        assert [writer.stdout.readline() for writer in writers] == ["written\n"] * 2
        killed.kill()
        killed.wait()
        (tmp_path / f"{TEMPORARY}elsewhere-1-01234567").touch()  # another machine's processes are not known here
        assert len(os.listdir(tmp_path / "trials")) == 2
        sweep(tmp_path)
        (left,) = os.listdir(tmp_path / "trials")
        assert f"-{other.pid}-" in left and len(os.listdir(tmp_path)) == 2
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(BankwiseError) as raised:
            write_bytes(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot write" in str(raised.value) and str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "below", tmp_path, tmp_path / ("x" * 300), tmp_path / "nul\0"):
        with pytest.raises(BankwiseError, match="cannot write"):
            write_bytes(path, b"new")
    for path in (Path(), Path("/")):
        with pytest.raises(BankwiseError, match="cannot write .*: it has no file name"):
            write_files({tmp_path / "new" / "other": b"new", path: b"new"})
    assert os.listdir(tmp_path) == ["file"]
    assert not [name for name in os.listdir(tmp_path.parent) if name.startswith(TEMPORARY)]


def test_a_temporary_folder_of_a_killed_process_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    code = "import os; from bankwise.search_space.files import scratch; s = scratch(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code])
    (left,) = tmp_path.iterdir()
    elsewhere = tmp_path / left.name.replace(socket.gethostname(), "another-host")
    elsewhere.mkdir()
    with scratch() as mine:
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([Path(mine).name, elsewhere.name])
        with scratch() as other:
            assert Path(mine).is_dir() and Path(other).parent == tmp_path
    assert list(tmp_path.iterdir()) == [elsewhere]
