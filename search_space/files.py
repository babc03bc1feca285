"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.processes import lives

TEMPORARY = ".tmp-"  # begins the name of a file that is being written, or whose writer was killed
SCRATCH = "bankwise-scratch-"  # begins the name of a temporary folder
_PLACE = re.compile(re.escape(SCRATCH) + r"(?P<host>.+)-(?P<process>\d+)-[^-]+")
_NAME = re.compile(re.escape(TEMPORARY) + r"(?P<host>.+)-(?P<process>\d+)-[0-9a-f]{8}")


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, then rename; a full disk leaves the old file as it was."""
    write_files({path: data})


def write_files(files: Mapping[Path, bytes]) -> None:
    """Several files, all or none: the first is renamed when the last has been written. Folders are made."""
    written: dict[Path, Path] = {}  # temporary files, and what they become
    folders: list[Path] = []  # that were made
    path = Path()
    try:
        for path, data in files.items():
            if not path.name:  # of "", ".", "/"
                raise IsADirectoryError(errno.EISDIR, "it has no file name")
            folders += _made(path.parent)
            temporary = path.with_name(f"{TEMPORARY}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
            with open(temporary, "xb") as stream:  # with the permissions that the umask leaves
                written[temporary] = path
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        for temporary, path in list(written.items()):
            os.replace(temporary, path)
            del written[temporary]
        folders.clear()
    except (OSError, ValueError) as error:  # a ValueError for a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise BankwiseError(f"cannot write {str(path)!r}: {reason}") from None
    finally:  # also at Ctrl-C; after the renames there is nothing left to remove
        for temporary in written:
            temporary.unlink(missing_ok=True)
        for folder in reversed(folders):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _made(folder: Path) -> list[Path]:
    """Make the folder; those that were not there, outermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def sweep(folder: Path) -> None:
    """Remove below `folder` what writers left that were killed on this machine. Those that live are let be."""
    for path in folder.rglob(f"{TEMPORARY}*"):
        name = _NAME.fullmatch(path.name)
        if name is not None and name["host"] == socket.gethostname() and not lives(int(name["process"])):
            with contextlib.suppress(OSError):
                path.unlink()


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder that is removed with this process. One that was killed leaves its own, of images say: those of
    this machine are removed here."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        name = _PLACE.fullmatch(path.name)
        if name is not None and name["host"] == socket.gethostname() and not lives(int(name["process"])):
            shutil.rmtree(path, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{socket.gethostname()}-{os.getpid()}-")
