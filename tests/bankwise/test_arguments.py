"""Every argument of every public function: a value of a wrong type is one line, before anything is written."""

from __future__ import annotations

import dataclasses
import inspect
import math

import pytest
import torch

import bankwise
from bankwise import BankwiseError, Child, Recipe, SearchSettings, build, plan, trace
from bankwise.trainers.data import load_data

WRONG = [None, 5, -1, 0.5, "nothing", "", {}, [], object(), (1,), b"x", True, math.nan]
CALLS = {  # each function with arguments of which any other one may be taken away
    "plan": ["network", "budget"], "solve": ["space", "budget"], "price": ["shape", "plan"],
    "build": ["reference", "classes", "in_channels"], "trace": ["network", "reference", "input_shape", "classes"],
    "search": ["network", "data", "budget", "out", "settings"], "train_plan": ["plan", "data", "out", "recipe"],
    "export": ["run", "path"], "load": ["path"], "evaluate": ["path", "data"],
    "convert": ["network", "data", "budget", "out"], "pack": ["child"], "save": ["child", "path"],
    "recalibrate": ["model", "batches"], "Child": ["network", "plan"],
}  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Good values of all arguments; trainings are over by the first look at their recipe."""
    folder = tmp_path_factory.mktemp("arguments")
    network = build("tiny", classes=10, in_channels=1)
    shape = trace(network, "tiny", (1, 8, 8), 10)
    chosen, data = plan("tiny", 1200).plan, load_data("digits", limit=60)
    child = Child(network, chosen)
    run = bankwise.train_plan(chosen, data, folder / "run", Recipe(epochs=1, batch=30, threads=1), teacher=False)
    brief = Recipe(epochs=1, batch=30, threads=1)
    settings = SearchSettings(
        strategy="uniform", trials=1, uniform_trials=1, finalists=1, finalist_seeds=1, seeds=1, recipe=brief
    )
    return {
        "network": "tiny", "space": shape, "shape": shape, "reference": "tiny", "classes": 10, "in_channels": 1,
        "input_shape": (1, 8, 8), "budget": 1200, "plan": chosen, "data": data, "recipe": brief, "settings": settings,
        "run": folder / "run", "child": child, "model": child, "batches": [], "of trace": network,
        "of load": run.model, "of evaluate": run.model, "of convert": network,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, argument) for name in CALLS for argument in inspect.signature(getattr(bankwise, name)).parameters],
)
def test_a_wrong_value_is_one_line(name, argument, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # "nothing" is a good name of a file

    def stop(*_, **__):
        raise BankwiseError("taken")

    for module in ("searching", "training"):  # where arguments were taken, before anything is trained
        monkeypatch.setattr(f"bankwise.{module}.RunFolder", stop)
    monkeypatch.setattr("bankwise.converting.candidates", stop)
    refused = 0
    for number, value in enumerate(WRONG):
        own = {"out": tmp_path / f"out{number}", "path": tmp_path / f"{number}.bankwise"}
        arguments = {one: given.get(f"of {name}", own.get(one, given.get(one))) for one in CALLS[name][:1]}
        arguments |= {one: own.get(one, given.get(one)) for one in CALLS[name][1:]}
        try:
            getattr(bankwise, name)(**arguments | {argument: value})
        except BankwiseError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
            refused += str(error) != "taken"
    if argument not in ("data", "batches"):  # [] is no data that is asked for, and no batches
        assert refused >= len(WRONG) // 2


def test_values_of_other_kinds_that_mean_the_same_are_taken(given, tmp_path):
    """NumPy's numbers, lists for tuples."""
    import numpy as np

    shape = trace(given["of trace"], "tiny", [1, 8, 8], np.int64(10))
    assert shape == given["shape"]
    assert plan("tiny", 1200, max_ram=np.int64(10**6)).plan == given["plan"]


def test_a_network_read_back_can_be_converted_again_but_not_recalibrated(given, tmp_path):
    """Its norms hold what their statistics were folded into."""
    network = bankwise.load(given["of load"])
    with pytest.raises(BankwiseError, match="batch norm '.*' was read back from a file"):
        bankwise.recalibrate(network, [torch.zeros(2, 1, 8, 8)])
    found = bankwise.convert(
        network, given["data"], 40_000, tmp_path / "again.bankwise", kinds=["int8"], vector_bits=32
    )
    same, before = bankwise.load(found.model, network=network), given["data"].test()[0]
    images = given["data"].to_input(before)
    with torch.no_grad():
        assert (same(images) - network(images)).abs().max() < 0.1


def test_batches_that_are_none_are_refused(given):
    for wrong in (5, [5], [(1, 2)], ["text"]):
        with pytest.raises(BankwiseError, match="batches: .* batch of images"):
            bankwise.recalibrate(given["child"], wrong)


def test_a_recipe_of_another_class_is_named(given, tmp_path):
    with pytest.raises(BankwiseError, match="recipe: .* is not a Recipe"):
        bankwise.train_plan(given["plan"], given["data"], tmp_path / "run", dataclasses.asdict(given["recipe"]))
    with pytest.raises(BankwiseError, match="out: 5 is not text or a Path"):
        bankwise.train_plan(given["plan"], given["data"], 5)
    with pytest.raises(BankwiseError, match="on_progress: 5 is not a function"):
        bankwise.search("tiny", given["data"], 1200, tmp_path / "run", on_progress=5)
