"""What conversion must leave as it is."""

from __future__ import annotations

import sys

import pytest
import torch

from bankwise.converting import convert
from bankwise.inputs import take
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.targets.file.container import load
from bankwise.strategies.sensitivity import LEAST_ENERGY, channel_energies
from bankwise.trained import open_trained
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource, train_uncompressed


@pytest.fixture(scope="module")
def trained():
    recipe = Recipe(epochs=4, threads=1)
    inputs = take(None, TaskSource("tiny", "digits"))
    task = inputs.task(recipe)
    train_uncompressed(task, recipe)
    return task.network.eval(), inputs.data


def test_pruned_filters_lose_nothing_at_eight_bits(trained, tmp_path):
    """A third of the filters are zero, and the norms behind keep the statistics of the time before."""
    network, data = trained
    with torch.no_grad():
        for layer in (network[0][0], network[1][0], network[3][0]):
            layer.weight[::3] = 0.0
        for norm in (network[0][1], network[1][1], network[3][1]):
            norm.running_mean[::3], norm.bias[::3] = -0.2, 0.0
    result = convert(network, data, "9bpw", tmp_path / "pruned", kinds=["int8"])
    assert result.uncompressed_accuracy > 0.5
    assert result.accuracy == pytest.approx(result.uncompressed_accuracy, abs=0.01)


class Masked(torch.nn.Sequential):
    """Channels that a mask of bools takes out, as pruning leaves it."""

    def __init__(self, num_classes: int):
        super().__init__(torch.nn.Conv2d(1, 16, 3, 2), torch.nn.ReLU(), torch.nn.Flatten())
        self.head = torch.nn.Linear(16 * 9, num_classes)
        self.register_buffer("mask", torch.ones(16, dtype=torch.bool))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self[1](self[0](x)) * self.mask[:, None, None]
        return self.head(self[2](maps))


def test_a_mask_that_weights_bring_is_refused_or_stored(trained, tmp_path, monkeypatch):
    """Without it the file would be another network."""
    monkeypatch.setitem(sys.modules, "own_masked", sys.modules[__name__])
    torch.manual_seed(0)
    network = Masked(10)
    network.mask[::2] = False
    with torch.no_grad():
        network[0].bias[::2] = 100.0
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    given = {"weights": tmp_path / "weights.pt", "data": "digits"}
    with pytest.raises(BankwiseError, match=r"buffer mask \(bool, \(16,\)\) is not what .*: --keep mask$"):
        open_trained("own_masked:Masked", **given)
    opened = open_trained("own_masked:Masked", keep=("mask",), **given)
    result = convert(opened, None, "20bpw", tmp_path / "out", kinds=["int8"])
    images = opened.data.to_input(opened.data.val_x[:50])
    mine, theirs = network.eval()(images), load(result.model, allow_code=True)(images)
    torch.testing.assert_close(mine, theirs, rtol=0.05, atol=0.02)
    assert result.file_bytes == result.model.stat().st_size == result.details["planned_bytes"]


def test_a_channel_that_calibration_images_leave_dark_still_counts():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1, groups=3))
    layer = LayerShape("0", "conv2d", 3, 1, groups=3)
    images = torch.ones(2, 3, 4, 4)
    images[:, 1] = 0.0
    energies = channel_energies(network, [layer], images)["0"]
    assert energies.flatten().tolist() == pytest.approx([1.5, LEAST_ENERGY, 1.5])
    assert channel_energies(network, [layer], 0 * images)["0"].flatten().tolist() == [1, 1, 1]
