import os
import resource
import stat

import pytest

from search_space.errors import BankwiseError
from search_space.files import write_bytes, write_text


def test_written_whole_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_bytes(path, b"one")
    write_text(path, "zwei ü")
    assert path.read_text(encoding="utf-8") == "zwei ü"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


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
    for path in (tmp_path / "file" / "below", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(BankwiseError, match="cannot write"):
            write_bytes(path, b"new")
    assert os.listdir(tmp_path) == ["file"]
    assert not [name for name in os.listdir(tmp_path.parent) if name.startswith(f".{tmp_path.name}.")]
