"""What a notebook does: networks and images in memory, results as objects, mistakes in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

import bankwise
from bankwise import SearchResult, SearchSettings, TaskSource
from bankwise.result import PLOTS
from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.data import data_in_memory

RECIPE = bankwise.Recipe(epochs=1, threads=1)
QUICK = SearchSettings(
    trials=2, uniform_trials=1, finalists=1, finalist_seeds=1, seeds=1, trial_epochs=1, recipe=RECIPE
)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8)[:300], digits.target[:300]


@pytest.fixture(scope="module")
def searched(arrays, tmp_path_factory) -> SearchResult:
    return bankwise.search(network(), arrays, "900B", tmp_path_factory.mktemp("memory") / "run", QUICK)


def test_a_module_and_arrays_are_searched_and_the_file_gives_the_network_back(searched, arrays):
    assert searched.network == searched.data == "in-memory" and searched.source["network"] == "in-memory"
    assert searched.model.stat().st_size == searched.file_bytes == searched.planned_bytes <= searched.budget_bytes
    back = bankwise.load(searched.model, network=network(seed=5))
    assert back(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    measured = bankwise.evaluate(searched.model, arrays, network=network(seed=5))
    assert measured.accuracy == searched.test_accuracy and measured.normalization == "symmetric"
    with pytest.raises(BankwiseError, match=r"load\(path, network=module\)"):
        bankwise.load(searched.model)
    with pytest.raises(BankwiseError):
        bankwise.load(searched.model, network=nn.Conv2d(1, 2, 1))


def test_called_again_it_answers_and_another_module_or_other_images_are_refused(searched, arrays):
    out = searched.folder
    again = bankwise.search(network(), arrays, "900B", out, QUICK)
    assert again == searched and again.to_dict() == json.loads((out / "summary.json").read_text())
    with pytest.raises(BankwiseError, match="identity.network_output"):
        bankwise.search(network(seed=1), arrays, "900B", out, QUICK)
    x = arrays[0].copy()
    x[-1, 0, 0] ^= 255
    with pytest.raises(BankwiseError, match="identity.checksums"):
        bankwise.search(network(), (x, arrays[1]), "900B", out, QUICK)


def test_a_result_knows_its_plan_trials_plots_and_tables(searched):
    assert searched.plan == bankwise.Plan.read(searched.folder / "plan.yaml")
    assert [trial.phase for trial in searched.trials] == ["search", "search", "uniform"]
    frame = searched.to_frame()
    assert list(frame["accuracy"]) == [trial.accuracy for trial in searched.trials]
    assert set(searched.plan.layers) <= set(frame.columns)
    html = searched._repr_html_()
    assert f"{searched.file_bytes:,}" in html and html.count("<tr>") == 4
    for name in PLOTS[:4]:
        assert searched.plot(name).axes
    with pytest.raises(BankwiseError, match="unknown plot 'stairs': did you mean staircase"):
        searched.plot("stairs")
    read = SearchResult.read(searched.folder)
    assert read == searched
    with pytest.raises(BankwiseError, match="module in memory"):
        read.plot()


def test_a_torch_data_set_gives_the_images_that_its_arrays_do(arrays):
    x, y = arrays
    tensors = TensorDataset(torch.from_numpy(x)[:, None].float() / 255, torch.from_numpy(y))
    one, other = data_in_memory(tensors), data_in_memory((x, y))
    assert one.identity() == other.identity()
    pair = data_in_memory((tensors, tensors))
    four = data_in_memory((x, y, x, y))
    assert pair.identity() == four.identity() != one.identity() and len(pair.test()[1]) == 300


def test_a_module_is_converted(arrays, tmp_path):
    done = bankwise.convert(network(), arrays, "6bpw", tmp_path / "m.bankwise")
    assert done.file_bytes == done.model.stat().st_size <= done.budget_bytes
    assert bankwise.load(done.model, network=network())(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert done.uncompressed_accuracy is not None and done.to_dict()["trained"] == "the module"


@pytest.mark.parametrize(
    ("given", "data", "words"),
    [
        (nn.Module(), "digits", "nn.Module|forward|cannot run|layer"),
        (nn.Linear, "digits", "give an instance of it"),
        (3, "digits", "expected a name or an nn.Module"),
        (None, "digits", "name a network"),
        ("tiny", 5, "data of type int"),
        ("tiny", (np.zeros((20, 8, 8)), np.zeros(20, int)), "float64, must be uint8"),
        ("tiny", (np.zeros((20, 8, 8), np.uint8), np.zeros(19, int)), r"y has shape \(19,\), must be \(20,\)"),
        ("tiny", (np.zeros((20, 8, 8), np.uint8), np.zeros(20, int) - 1), "labels -1"),
        ("tiny", TaskSource("small", "digits"), "'tiny' is not that of the data description, 'small'"),
        ("tiny", TensorDataset(torch.full((20, 1, 8, 8), 3.0), torch.zeros(20, dtype=torch.long)), "must be in"),
        ("tiny", TensorDataset(torch.full((20, 1, 8, 8), math.nan), torch.zeros(20).long()), "image 0 has values nan"),
        ("tiny", TensorDataset(torch.zeros(20, 1, 0, 8), torch.zeros(20).long()), r"shape \(1, 0, 8\): .* no pixels"),
    ],
    ids=[
        "empty",
        "class",
        "number",
        "none",
        "type",
        "dtype",
        "length",
        "labels",
        "two networks",
        "range",
        "nan",
        "no pixels",
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, given, data, words):
    with pytest.raises(BankwiseError, match=words) as caught:
        bankwise.search(given, data, "60x", tmp_path / "run", QUICK)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def make(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, num_classes))


def test_a_factory_is_named_where_it_has_a_name_and_else_makes_one_module(arrays, tmp_path, monkeypatch, capfd):
    """Silent, and into a folder of its own; each seed of a named one has other weights."""
    monkeypatch.chdir(tmp_path)
    result = bankwise.search(make, arrays, "1KiB", settings=QUICK)
    assert capfd.readouterr() == ("", "")
    assert result.folder == Path("runs") / f"{__name__}-make-in-memory-1KiB" and result.network == f"{__name__}:make"
    assert result.module is None

    found = bankwise.search(lambda in_channels: make(10), arrays, "1KiB", settings=QUICK, progress=True)
    assert found.network == "in-memory" and isinstance(found.module, nn.Module)
    assert found.folder == Path("runs/in-memory-in-memory-1KiB")
    said = capfd.readouterr()
    assert said.out == "" and "search" in said.err and "epochs" in said.err
    assert bankwise.load(found.model, network=found.module)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert found._repr_html_().count('<img alt="') == 2 and "data:image/png;base64," in found._repr_html_()

    with pytest.raises(BankwiseError, match="<lambda> failed .ZeroDivisionError"):
        bankwise.search(lambda: 1 / 0, arrays, "1KiB", settings=QUICK)
    with pytest.raises(BankwiseError, match="must return an nn.Module, it returned int"):
        bankwise.search(lambda: 3, arrays, "1KiB", settings=QUICK)


@pytest.mark.slow
def test_the_first_notebook_runs_from_data_to_c(tmp_path):
    """As Jupyter runs it; its last cell compares the logits of the C sources with torch's."""
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat and nbclient")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    notebook = nbformat.read(Path(__file__).parents[2] / "examples" / "first.ipynb", as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code"), "no outputs are kept in git"
    nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert "text/html" in kinds and "image/png" in kinds
    (searched,) = (cell for cell in notebook.cells if "search(make" in cell.source)
    assert [output.output_type for output in searched.outputs] == ["execute_result"], "a search is silent"
    (model,) = tmp_path.glob("runs/*/model.bankwise")
    assert model.stat().st_size <= 1024 and list(model.parent.glob("c/*.c"))
