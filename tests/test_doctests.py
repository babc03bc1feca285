"""Examples in the docstrings of public modules."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "bankwise.search_space.budget",
    "bankwise.search_space.limits",
    "bankwise.search_space.plan",
    "bankwise.search_space.price",
    "bankwise.search_space.settings",
    "bankwise.search_space.trace",
    "bankwise.planning",
    "bankwise.strategies.solver.exact",
    "bankwise.trainers.recipe",
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.failed == 0 < outcome.attempted
