"""NNI's list of the experiments of this user on this machine, and the web interface of those that run. Needs no NNI."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.files import write_text

ANSWER = 20.0  # seconds for a REST call
_WRITTEN = 1.0  # seconds that NNI may take to write its list in place
_NOTE = "bankwise-folder.txt"  # in NNI's folder of an experiment: where the folder of `bankwise nni init` is


def listed() -> dict[str, dict[str, Any]]:
    """The experiments by id, with NNI's folder `logDir`, and `port` and `pid` of a manager that runs."""
    path = Path.home() / "nni-experiments" / ".experiment"
    end = time.monotonic() + _WRITTEN
    while True:
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            return {name: values for name, values in known.items() if isinstance(values["logDir"], str)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            if time.monotonic() > end:
                raise BankwiseError(f"NNI's list of experiments {str(path)!r} is damaged") from None
        time.sleep(0.05)


def place(id: str) -> Path:
    """NNI's own folder of an experiment. Raises BankwiseError where NNI does not know it."""
    known = listed()
    if id not in known:
        raise unknown("NNI experiment", id, known or ["none on this machine"])
    return Path(known[id]["logDir"]) / id


def note_folder(id: str, folder: Path) -> None:
    """Write down which folder the experiment `id` works in; a trial does."""
    known = listed().get(id)
    if known is not None and not (Path(known["logDir"]) / id / _NOTE).exists():
        write_text(Path(known["logDir"]) / id / _NOTE, f"{folder}\n")


def folder(id: str) -> Path:
    """The folder of an experiment. Raises BankwiseError where none of its trials has begun, or it is another's."""
    try:
        return Path((place(id) / _NOTE).read_text(encoding="utf-8").strip())
    except OSError:
        raise BankwiseError(
            f"NNI experiment {id!r} is none of bankwise, or no trial of it has begun; give its folder"
        ) from None


def get(port: int, path: str) -> Any:
    """What the manager at `port` answers. Raises OSError where it does not."""
    with urllib.request.urlopen(f"http://localhost:{port}/api/v1/nni/{path}", timeout=ANSWER) as answer:
        return json.loads(answer.read())
