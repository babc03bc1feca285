"""A few cases of every kind of `make fuzz`: no traceback, no hang, no process above its memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from bankwise.search_space.errors import BankwiseError
from fuzz.every_kind import every_kind
from fuzz.kinds.kind import Kind
from fuzz.runner import run

CASES = {"settings": 8, "journals": 8, "networks": 8}  # of kinds whose cases take longest; 30 of the others
NAMES = "model files,plans,recipes,spaces,settings,journals,experiments,images,archives,networks".split(",")
pytestmark = pytest.mark.xdist_group("fuzz")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    return {kind.name: kind for kind in every_kind(tmp_path_factory.mktemp("valid"))}


@pytest.mark.parametrize(
    "name",
    [
        "model files",
        "plans",
        "recipes",
        "spaces",
        "settings",
        "journals",
        "experiments",
        "images",
        "archives",
        "networks",
    ],
)
def test_a_few_cases(kinds, tmp_path, name):
    outcome = run(kinds[name], 0, tmp_path, cases=CASES.get(name, 30))
    assert outcome.good, outcome
    assert outcome.cases == CASES.get(name, 30) == outcome.accepted + outcome.lines


def test_every_kind_is_tried(kinds):
    assert list(kinds) == NAMES


class Bad(Kind):
    """Cases that end in each way, one after the other."""

    name, seconds = "bad", 20.0  # long enough for a case that takes memory on a machine under load

    def write(self, place: Path, rng: Random) -> None:
        self.fresh(place)

    def read(self, place: Path) -> None:
        number = place.name.removeprefix("bad-")
        if number == "1":
            raise BankwiseError("one line")
        if number == "2":
            raise BankwiseError("two\nlines")
        if number == "3":
            raise KeyError("a key")
        if number == "4":
            time.sleep(600)
        if number == "5":
            bytearray(b"x") * (1200 * 2**20)
        if number == "6":
            os._exit(1)


def test_bad_ends_are_told_apart_and_their_files_are_kept(tmp_path):
    outcome = run(Bad(), 0, tmp_path, cases=8)
    assert (outcome.cases, outcome.accepted, outcome.lines) == (8, 3, 1) and not outcome.good, outcome
    two, key = outcome.tracebacks
    assert "not one short line: 'two\\nlines'" in two and "KeyError: 'a key'" in key
    assert outcome.hangs == [str(tmp_path / "bad-4")] and outcome.peak > 1100
    large, died = outcome.large
    assert large.startswith(str(tmp_path / "bad-5")) and died == f"{tmp_path / 'bad-6'} (0 MB)"
    assert {path.name for path in tmp_path.iterdir()} == {f"bad-{number}" for number in range(2, 7)}


def test_the_same_seed_makes_the_same_cases(kinds, tmp_path):
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        kinds["plans"].write(folder, Random("plans 5"))
        made.append([(path.name, path.read_bytes()) for path in folder.iterdir()])
    assert made[0] == made[1]
