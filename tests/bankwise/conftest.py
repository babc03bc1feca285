"""The command line, called in this process or in one of its own, and one finished search for all tests."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bankwise.command_line import main

SEARCH = (
    "search --network tiny --data digits --limit 300 --budget 1200 --trials 3 --uniform-trials 2 --finalists 2 "
    "--seeds 2 --epochs 3 --trial-epochs 2 --json"
).split()


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


class Cli:
    """The command line."""

    search = SEARCH

    @staticmethod
    def call(*arguments: object) -> Outcome:
        """In this process."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
        return Outcome(code, out.getvalue(), err.getvalue())

    @classmethod
    def bad(cls, *arguments: object, code: int = 2) -> str:
        """What must fail with one line and nothing on stdout; the line."""
        outcome = cls.call(*arguments)
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (code, "", 1), outcome
        assert outcome.err.startswith("error: ")
        return outcome.err

    @staticmethod
    def start(*arguments: object, **options) -> subprocess.Popen:
        """In a process of its own."""
        command = [sys.executable, "-m", "bankwise", *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    @staticmethod
    def comparable(summary: dict, folder: Path) -> dict:
        """A summary without what differs from folder to folder and from day to day."""
        text = json.dumps({key: value for key, value in summary.items() if key not in ("seconds", "made")})
        return json.loads(text.replace(str(folder), "RUN"))


@pytest.fixture(scope="session")
def cli() -> type[Cli]:
    return Cli


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A search that nothing disturbed; not to be written to."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, Cli.call(*SEARCH, "--out", folder)


@pytest.fixture
def copied(finished: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A copy of that search to do harm to."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))
