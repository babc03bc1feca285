"""Searches whose loss, metric and labels are others than cross-entropy, accuracy and classes, from data to the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bankwise import BankwiseError, Recipe, SearchSettings, evaluate, load, search
from bankwise.trainers.data import data_in_memory, load_data

QUICK = SearchSettings(
    trials=2,
    uniform_trials=1,
    finalists=1,
    finalist_seeds=1,
    seeds=1,
    trial_epochs=2,
    recipe=Recipe(epochs=3, threads=1),
)


def squares(images: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Images with a bright square; where its corner lies, in rows and columns."""
    rng = np.random.default_rng(0)
    places = rng.integers(0, 6, size=(images, 2))
    pixels = rng.integers(0, 40, size=(images, 8, 8)).astype(np.uint8)
    for image, (row, column) in zip(pixels, places, strict=True):
        image[row : row + 3, column : column + 3] = 220
    return pixels, places


def network(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, bias=False),
        nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(576, outputs),
    )  # fmt: skip


def rounded_kappa(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """A metric of one's own: the share of classes found, less a tenth."""
    return float((outputs.argmax(1) == labels).float().mean()) - 0.1


def margin(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.multi_margin_loss(outputs, labels)


def test_values_are_searched_by_mse_and_r2(tmp_path):
    pixels, places = squares()
    module, data = network(2), data_in_memory((pixels, places / 5))
    result = search(module, data, "9KiB", tmp_path / "run", QUICK)
    assert result.metric == "r2" and result.confusion is None
    x, y = data.test()
    got = load(result.model, network=module)(x.float() / 127.5 - 1).detach()
    assert result.test_accuracy == pytest.approx(r2_score(y, got), abs=1e-5)
    losses = [
        epoch["loss"]
        for epoch in json.loads(next(tmp_path.glob("run/search/trials/*/trial.json")).read_text())["epochs"]
    ]
    assert losses[-1] < losses[0]
    assert "± " not in result._repr_html_() and "validation r2" in result._repr_html_()


def test_several_labels_are_searched_by_bce_and_macro_f1(tmp_path):
    pixels, places = squares()
    several = np.stack([places[:, 0] > 2, places[:, 1] > 2, places.sum(1) > 5], 1).astype(int)
    loader = DataLoader(TensorDataset(torch.from_numpy(pixels)[:, None], torch.from_numpy(several)), batch_size=50)
    result = search(network(3), loader, "9KiB", tmp_path / "run", QUICK, class_weights="balanced")
    assert result.metric == "macro-f1" and result.accuracy > 0.5
    assert result.settings["recipe"]["class_weights"] == "balanced"


def test_own_functions_are_recorded_compared_and_used_by_evaluate(tmp_path):
    data, folder = load_data("digits", limit=300), tmp_path / "run"
    result = search("tiny", data, 1200, folder, QUICK, loss=margin, metric=rounded_kappa)
    name = f"{__name__}:rounded_kappa"
    assert result.metric == name and result.settings["recipe"]["loss"] == f"{__name__}:margin"
    assert result.settings["identity"]["loss_output"] is not None
    read = evaluate(result.model, data, metric="accuracy")
    assert read.accuracy == pytest.approx(result.test_accuracy + 0.1) and read.metric == "accuracy"
    counts = np.array(result.confusion)
    assert counts.sum(1).tolist() == np.bincount(data.test()[1], minlength=10).tolist()
    assert np.trace(counts) / counts.sum() == pytest.approx(read.accuracy)
    with pytest.raises(BankwiseError, match=f"metric '{name}' is code of your own"):
        evaluate(result.model, data)
    assert evaluate(result.model, data, allow_code=True).accuracy == pytest.approx(result.test_accuracy)
    again = search("tiny", data, 1200, folder, QUICK, loss=margin, metric=rounded_kappa)
    assert again.accuracy == result.accuracy
    with pytest.raises(BankwiseError, match="recipe.metric: "):
        search("tiny", data, 1200, folder, QUICK, loss=margin)
    settings = json.loads((folder / "settings.json").read_text())
    settings["identity"]["metric_output"] += 0.5
    (folder / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(BankwiseError, match="identity.metric_output"):  # the function has changed since
        search("tiny", data, 1200, folder, QUICK, loss=margin, metric=rounded_kappa)


def test_the_command_line_takes_them(cli, tmp_path):
    arguments = [*cli.search, "--out", tmp_path / "run", "--metric", "macro-f1", "--class-weights", "balanced"]
    outcome = cli.call(*[one for one in arguments if one != "--json"])
    assert outcome.code == 0 and "tiny on digits, macro-F1 over 2 seed(s)" in outcome.out, outcome
    assert "macro-F1 0." in outcome.err
    assert "macro-F1" in cli.call("evaluate", tmp_path / "run").out
    assert "top-5 " in cli.call("evaluate", tmp_path / "run", "--metric", "top-5").out
    assert "--metric macro-f1" in (page := (tmp_path / "run" / "report.html").read_text())
    assert "--class-weights balanced" in page
    assert "metric 'r2' is for labels that are values" in cli.bad(
        *cli.search, "--out", tmp_path / "no", "--metric", "r2"
    )
    assert not (tmp_path / "no").exists()
