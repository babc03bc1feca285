"""Every example in a docstring, of the whole house."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSE = {"search_space": "bankwise.search_space", "strategies": "bankwise.strategies", "trainers": "bankwise.trainers",
         "bankwise": "bankwise", "results": "results", "fuzz": "fuzz"}  # fmt: skip


def modules() -> dict[str, int]:
    """Those with examples, by their names, and how many each has."""
    found = {}
    for folder, package in HOUSE.items():
        for path in (ROOT / folder).rglob("*.py"):
            place = path.relative_to(ROOT / folder).with_suffix("").parts
            examples = len(re.findall(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))
            if examples and place[0] not in HOUSE:  # links within `bankwise`
                found[".".join((package, *(part for part in place if part != "__init__")))] = examples
    return found


class Finder(doctest.DocTestFinder):
    """Which also finds functions that a decorator of another module wraps."""

    def _from_module(self, module, object):
        return super()._from_module(module, inspect.unwrap(object) if callable(object) else object)


@pytest.mark.parametrize(("name", "examples"), modules().items())
def test_the_examples_hold(name, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, runner = importlib.import_module(name), doctest.DocTestRunner()
    for test in Finder().find(module):
        runner.run(test)
    outcome = runner.summarize()
    assert (outcome.failed, outcome.attempted) == (0, examples)
