"""The example of a detector: its figure against precisions counted by hand, its loop on few scenes, its file."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from bankwise import Child, load, pack, plan, price, recalibrate, save

pytest.importorskip("pycocotools")
MODULE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "detector.py"))
CLASSES, INPUT, Scenes = MODULE["CLASSES"], MODULE["INPUT"], MODULE["Scenes"]
detector, score, train = MODULE["detector"], MODULE["score"], MODULE["train"]
WIDTH = 0.25


class Says(nn.Module):
    """Detections that are known, image by image."""

    def __init__(self, *found: dict[str, torch.Tensor]):
        super().__init__()
        self.found = list(found)

    def forward(self, images):
        return self.found


def boxes(*rows: tuple[float, ...], labels: tuple[int, ...] = (1,), scores: tuple[float, ...] | None = None):
    found = {"boxes": torch.tensor(rows, dtype=torch.float32).reshape(-1, 4), "labels": torch.tensor(labels)}
    return found if scores is None else found | {"scores": torch.tensor(scores)}


@pytest.fixture(scope="module")
def scenes():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (10, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return MODULE["make_scenes"](images, torch.arange(10), 48, seed=0)


def truth(*targets: dict[str, torch.Tensor]):
    images = torch.zeros(len(targets), *INPUT, dtype=torch.uint8)
    return Scenes(images, [one["boxes"] for one in targets], [one["labels"] for one in targets])


def test_a_box_counts_up_to_its_intersection_over_union():
    """A box of 72 of 100 pixels is right at 0.5, 0.55, 0.6, 0.65 and 0.7, and wrong at the other five."""
    found = Says(boxes((0, 0, 10, 7.2), scores=(0.9,)))
    assert score(found, truth(boxes((0, 0, 10, 10)))) == pytest.approx({"map": 0.5, "map_50": 1.0})


def test_precision_at_101_recalls():
    """Of two objects of a class one is found first, then comes a false one: recalls up to 0.5, 51 of the 101, have
    precision 1, the others 0. Found behind the false one, these have precision 1/2. The mean is over classes."""
    right, wrong = (0, 0, 10, 10), (30, 30, 40, 40)
    there = truth(boxes(right), boxes(right))
    first = Says(boxes(right, scores=(0.9,)), boxes(wrong, scores=(0.8,)))
    assert score(first, there)["map"] == pytest.approx(51 / 101)
    behind = Says(boxes(right, scores=(0.7,)), boxes(wrong, scores=(0.8,)))
    assert score(behind, there)["map"] == pytest.approx(51 / 101 / 2)
    two = truth(boxes(right, wrong, labels=(1, 2)))
    assert score(Says(boxes(right, labels=(1,), scores=(0.9,))), two)["map"] == pytest.approx(0.5)
    assert score(Says(boxes(right, wrong, labels=(2, 1), scores=(0.9, 0.9))), two)["map"] == 0


def test_a_child_learns_scenes_by_heart_and_its_file_finds_them(scenes, tmp_path):
    torch.manual_seed(0)
    network = detector(WIDTH)
    chosen = plan(network, "6KiB", input_shape=INPUT, classes=CLASSES).plan
    child = Child(network, chosen)
    images, targets = scenes.inputs(torch.arange(48))
    before = child(images, targets)
    assert before.keys() == {"bbox_regression", "classification"}
    train(child, scenes, 25)
    network = load(save(child, tmp_path / "detector.bankwise"), network=detector(WIDTH))
    assert (tmp_path / "detector.bankwise").stat().st_size == price(child.shape, child.plan).file_bytes <= 6 * 1024
    found = score(network, scenes)
    assert found["map_50"] > 0.3
    child.train()
    after = child(images, targets)
    assert sum(after.values()) < sum(before.values()) / 2


def test_a_child_of_a_detector_estimates_its_norms_on_lists_of_images(scenes):
    """The first norm's mean is that of its convolution's outputs over the images, as the detector normalizes them."""
    torch.manual_seed(0)
    child = Child(detector(WIDTH), plan(detector(WIDTH), "6KiB", input_shape=INPUT, classes=CLASSES).plan)
    batches = [scenes.inputs(rows) for rows in torch.arange(8).split(4)]
    for images, targets in batches:
        child(images, targets)
    child.eval()
    block = child.network.backbone.fine[0]
    with torch.no_grad():
        outputs = block[0]((scenes.images[:8].float() / 255 - 0.5) / 0.5)
    torch.testing.assert_close(block[1].running_mean, outputs.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    other = Child(child.module, child.plan)
    recalibrate(other, [(tuple(images), tuple(targets)) for images, targets in batches])
    torch.testing.assert_close(other.network.backbone.fine[0][1].running_mean, block[1].running_mean)
    assert len(pack(child)) == price(child.shape, child.plan).file_bytes


def test_the_example_runs(tmp_path):
    path = tmp_path / "detector.bankwise"
    found = MODULE["main"](str(path), 1, 32)
    assert set(found) == {"map", "map_50"} and path.stat().st_size <= 16 * 1024
