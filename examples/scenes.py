"""Images to detect objects in, made of images of one object each: digits at random places and sizes, among clutter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

SIDE = 64  # pixels of a scene
OBJECTS = (1, 4)  # of a scene
HEIGHTS = (14, 30)  # of an object, pixels
SHARED = 0.1  # of the smaller of two objects' boxes: the most that they may share
PATCHES = 6  # of clutter


@dataclass(frozen=True)
class Scenes:
    """`images` uint8 (N, 1, SIDE, SIDE); of each its `boxes` float32 (objects, 4), x1 y1 x2 y2 in pixels, and its
    `labels` int64 (objects,), the class of each counted from 1: 0 is the background."""

    images: torch.Tensor
    boxes: list[torch.Tensor]
    labels: list[torch.Tensor]

    def inputs(self, rows: torch.Tensor) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
        """Images in 0 to 1 and targets, as torchvision's detectors take them."""
        targets = [{"boxes": self.boxes[row], "labels": self.labels[row]} for row in rows.tolist()]
        return list(self.images[rows].float() / 255), targets


def make_scenes(images: torch.Tensor, labels: torch.Tensor, count: int, seed: int) -> Scenes:
    """`count` scenes of bright objects on black, uint8 (N, 1, height, width), and their classes int64 (N,), from 0.

    The background is a smooth dark random surface with noise. On it lie patches, each a piece of an object a third as
    high, and then the objects, each of a random source, height, width (by 20 %) and brightness. A box is what
    its object fills. The same arguments give the same scenes.
    """
    random = np.random.default_rng(seed)
    pixels = images.numpy()[:, 0]
    drawn = [_scene(pixels, labels.numpy(), random) for _ in range(count)]
    canvases, boxes, classes = zip(*drawn, strict=True)
    return Scenes(
        torch.from_numpy(np.stack(canvases))[:, None],
        [torch.tensor(one, dtype=torch.float32) for one in boxes],
        [torch.tensor(one) + 1 for one in classes],
    )


def _scene(
    pixels: np.ndarray, labels: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, list[list[int]], list[int]]:
    canvas = _resized(random.uniform(0, 70, (4, 4)), SIDE, SIDE) + random.normal(0, 8, (SIDE, SIDE))
    for _ in range(PATCHES):
        patch, _ = _object(pixels, random)
        side = max(patch.shape[0] // 3, 2)
        top, left = random.integers(patch.shape[0] - side + 1), random.integers(max(patch.shape[1] - side, 0) + 1)
        patch = patch[top : top + side, left : left + side]
        _draw(canvas, patch, random.integers(SIDE - side), random.integers(SIDE - side))
    boxes: list[list[int]] = []
    classes: list[int] = []
    for _ in range(random.integers(OBJECTS[0], OBJECTS[1] + 1)):
        drawn, source = _object(pixels, random)
        height, width = drawn.shape
        for _ in range(20):  # places; an object that finds none is left out
            top, left = random.integers(SIDE - height + 1), random.integers(SIDE - width + 1)
            box = [int(left), int(top), int(left + width), int(top + height)]
            if all(_shared(box, other) <= SHARED for other in boxes):
                _draw(canvas, drawn, top, left)
                boxes.append(box)
                classes.append(int(labels[source]))
                break
    return canvas.clip(0, 255).astype(np.uint8), boxes, classes


def _object(pixels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """A source, cropped to what it fills, resized and dimmed at random; and its number."""
    source = int(random.integers(len(pixels)))
    image = pixels[source]
    rows, columns = np.nonzero(image > image.max() / 4)
    image = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height = int(random.integers(HEIGHTS[0], HEIGHTS[1] + 1))
    width = round(height * image.shape[1] / image.shape[0] * random.uniform(0.8, 1.2))
    image = _resized(image.astype(float), height, min(max(width, 3), SIDE))
    return image * random.uniform(0.6, 1), source


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    made = nn.functional.interpolate(
        torch.from_numpy(image)[None, None], (height, width), mode="bilinear", antialias=True
    )
    return made[0, 0].numpy()


def _draw(canvas: np.ndarray, image: np.ndarray, top: int, left: int) -> None:
    """The brighter of both."""
    place = canvas[top : top + image.shape[0], left : left + image.shape[1]]
    np.maximum(place, image, out=place)


def _shared(box: list[int], other: list[int]) -> float:
    """The share of the smaller box that lies in both."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (box, other)]
    return max(width, 0) * max(height, 0) / min(areas)
