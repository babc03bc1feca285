"""Scenes: what they promise of boxes and labels, for solid objects whose pixels are known."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

MODULE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "scenes.py"))
SIDE, make_scenes = MODULE["SIDE"], MODULE["make_scenes"]
CLASSES = 3
IMAGES = torch.zeros(CLASSES, 1, 12, 12, dtype=torch.uint8)
for number in range(CLASSES):  # a bright rectangle each, number + 3 columns wide, with an empty rim
    IMAGES[number, :, 2:10, 2 : 5 + number] = 255


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_boxes_lie_in_the_scene_and_share_little(seed):
    scenes = make_scenes(IMAGES, torch.arange(CLASSES), 3, seed)
    assert scenes.images.shape == (3, 1, SIDE, SIDE) and scenes.images.dtype == torch.uint8
    for image, boxes, labels in zip(scenes.images, scenes.boxes, scenes.labels, strict=True):
        assert boxes.shape == (len(labels), 4) and 1 <= len(labels) <= 4
        assert boxes.min() >= 0 and boxes.max() <= SIDE
        assert 1 <= labels.min() and labels.max() <= CLASSES
        sizes = boxes[:, 2:] - boxes[:, :2]
        assert bool(((sizes[:, 1] >= 14) & (sizes[:, 1] <= 30)).all())
        own = (labels + 2) / 8  # width over height of the source
        assert bool((sizes[:, 0] - own * sizes[:, 1] <= 0.2 * own * sizes[:, 1] + 0.5).all())
        filled = torch.zeros(len(labels), SIDE, SIDE)
        for one, (x1, y1, x2, y2) in zip(filled, boxes.int().tolist(), strict=True):
            one[y1:y2, x1:x2] = 1
            assert image[0, y1:y2, x1:x2].min() >= int(0.6 * 255) - 1  # the object fills its box
        for i, one in enumerate(filled):
            for other in filled[:i]:
                assert (one * other).sum() <= 0.1 * min(one.sum(), other.sum())


def test_a_box_is_tight(monkeypatch):
    make = make_scenes.__globals__
    monkeypatch.setitem(make, "PATCHES", 0)
    monkeypatch.setitem(make, "OBJECTS", (1, 1))
    scenes = make_scenes(IMAGES, torch.arange(CLASSES), 20, 0)
    for image, boxes in zip(scenes.images, scenes.boxes, strict=True):
        rows, columns = torch.nonzero(image[0] > 130, as_tuple=True)  # the background is at most 70, its noise 8
        bright = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert boxes.tolist() == [bright.tolist()]


def test_the_seed_says_which_scenes():
    one, same, other = (make_scenes(IMAGES, torch.arange(CLASSES), 4, seed) for seed in (1, 1, 2))
    assert torch.equal(one.images, same.images) and not torch.equal(one.images, other.images)
    assert all(torch.equal(a, b) for a, b in zip(one.boxes + one.labels, same.boxes + same.labels, strict=True))


def test_inputs_are_what_torchvision_takes():
    scenes = make_scenes(IMAGES, torch.arange(CLASSES), 4, 1)
    images, targets = scenes.inputs(torch.tensor([2, 0]))
    assert [image.shape for image in images] == [(1, SIDE, SIDE)] * 2
    assert images[0].max() <= 1 and torch.equal((images[0] * 255).round().byte(), scenes.images[2])
    assert targets[1]["boxes"] is scenes.boxes[0] and targets[1]["labels"] is scenes.labels[0]


@pytest.mark.parametrize("size", [8, 28])
def test_sources_of_any_size(size):
    images = torch.full((2, 1, size, size), 200, dtype=torch.uint8)
    assert len(make_scenes(images, torch.tensor([0, 1]), 2, 0).boxes) == 2
