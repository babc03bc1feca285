from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import bankwise
from bankwise.inputs import traced
from bankwise.search_space.errors import InfeasibleBudget

FUNCTIONS = {
    "build",
    "convert",
    "evaluate",
    "export",
    "load",
    "pack",
    "plan",
    "price",
    "recalibrate",
    "save",
    "search",
    "solve",
    "trace",
    "train_plan",
}
NAMES = FUNCTIONS | {
    "BankwiseError", "Budget", "Child", "Conversion", "DataSet", "Evaluation", "ImageData", "InfeasibleBudget",
    "Limits", "Plan", "PlanReport",
    "Recipe", "SearchResult", "SearchSettings", "SearchSpace", "SpaceSettings", "Strategy", "TaskSource",
}  # fmt: skip


def test_the_public_names_are_the_functions_whatever_was_imported_before():
    code = (
        "import bankwise.searching, bankwise.exporting, bankwise.planning, bankwise.search_space.trace\n"
        f"from bankwise import {', '.join(sorted(NAMES))}\n"
        f"assert all(map(callable, [{', '.join(sorted(FUNCTIONS))}]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(bankwise.__all__) == NAMES <= set(dir(bankwise))
    with pytest.raises(AttributeError, match="sarch"):
        bankwise.sarch  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, bankwise; assert not {'torch', 'torchvision', 'numpy', 'matplotlib', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_solve_takes_a_shape_or_a_space_and_any_budget():
    shape = traced("tiny", "digits", None, None, None, ())
    plan = bankwise.solve(shape, 1200)
    space = bankwise.SearchSpace(shape, bankwise.SpaceSettings().within(1200, shape))
    assert bankwise.solve(space, bankwise.Budget(1200)) == plan
    assert bankwise.price(shape, plan).file_bytes <= 1200
    assert bankwise.price(shape, bankwise.solve(shape, "150B", accounting="paper")).paper_bits <= 1200
    with pytest.raises(InfeasibleBudget):
        bankwise.solve(shape, 200)


def test_a_search_and_its_file_from_python(finished, tmp_path):
    folder, outcome = finished
    network = bankwise.load(outcome.json["model"])
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    path = bankwise.export(folder, tmp_path / "model")
    assert path.stat().st_size == outcome.json["file_bytes"]
