"""Image data: one training set, one validation split apart from it, and a test set that is read on purpose."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from search_space.errors import BankwiseError
from trainers.sources import Labelled, open_source
from trainers.split import stratified_split

TEST_SHARE = 1 / 5  # of the images, where a data set comes without a test set
VALIDATION_SHARE = 1 / 6  # of the training images
FIXED_SEED = 0  # of the test split and of subsets: they never change with the seed of a run


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images uint8 (N, channels, height, width) and labels int64 (N,).

    `flip`: a mirrored image keeps its label. `crop`: pixels of padding that random crops may use.
    """

    name: str
    classes: int
    train_x: torch.Tensor
    train_y: torch.Tensor
    val_x: torch.Tensor
    val_y: torch.Tensor
    flip: bool
    crop: int
    _test: tuple[torch.Tensor, torch.Tensor] = field(repr=False)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return tuple(self.train_x.shape[1:])

    def test(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The test set. No search and no training may call this; the last evaluation does."""
        return self._test


def to_input(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 pixels to what a network sees: float32 in [-1, 1], without statistics of the data."""
    return pixels.to(torch.float32) / 127.5 - 1


def load_data(
    name: str,
    *,
    root: str | Path | None = None,
    limit: int | None = None,
    validation: float | None = None,
    seed: int = 0,
    image_size: int | None = None,
) -> ImageData:
    """The data set `name` (`trainers.sources.DATA_SETS`), below `root` (default: BANKWISE_DATA, else ./data).

    `limit` keeps that many training images (validation included), the same ones for every seed. `validation` is the
    share of them split off, stratified, by `seed` (None: VALIDATION_SHARE, or the set's own validation images, beside
    which a share is an error). `image_size` is the side of the images of an image folder.
    """
    if validation is not None and not 0 < validation < 1:
        raise BankwiseError(f"validation share {validation:g}: must lie between 0 and 1")
    source = open_source(name, Path(root or os.environ.get("BANKWISE_DATA") or "data").expanduser(), image_size)
    if source.validation is not None and validation is not None:
        raise BankwiseError(f"validation share {validation:g}: {name} comes with validation images of its own")

    train, test = source.train, source.test
    keep = np.arange(len(train.labels))
    if test is None:
        held_out, keep = stratified_split(train.labels, round(TEST_SHARE * len(keep)), FIXED_SEED)
        test_set = _read(name, "test", train, held_out)
    else:
        test_set = _read(name, "test", test, np.arange(len(test.labels)))

    if limit is not None and limit < len(keep):
        if limit < 2 * source.classes:
            raise BankwiseError(
                f"limit {limit} is too small for {name}: {source.classes} classes need {2 * source.classes} images"
            )
        keep = keep[stratified_split(train.labels[keep], limit, FIXED_SEED)[0]]

    if source.validation is None:
        first, rest = stratified_split(train.labels[keep], round((validation or VALIDATION_SHARE) * len(keep)), seed)
        val_set, keep = _read(name, "validation", train, keep[first]), keep[rest]
    else:
        val_set = _read(name, "validation", source.validation, np.arange(len(source.validation.labels)))
    train_set = _read(name, "training", train, keep)

    height = train_set[0].shape[2]
    crop = height // 8 if height >= 32 else height // 14  # 4 for 32 x 32, 2 for 28 x 28, none for 8 x 8
    return ImageData(name, source.classes, *train_set, *val_set, source.flip, crop, test_set)


def _read(name: str, part: str, images: Labelled, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    if not len(indices):
        raise BankwiseError(f"{name}: no images are left for the {part} set of {len(images.labels)} images")
    return images.read(indices), torch.from_numpy(images.labels[indices])
