"""Image data: one training set, one validation split apart from it, and a test set that is read on purpose."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import Images
from bankwise.search_space.normalization import SYMMETRIC, check_normalization, to_input
from bankwise.trainers.checksum import checksum
from bankwise.trainers.data_sets import Labelled, Source, numbered, open_data_set
from bankwise.trainers.data_sets.in_memory import source_of
from bankwise.trainers.labels import CLASSES, VALUES, kind_of, strata
from bankwise.trainers.split import stratified_split

TEST_SHARE = 1 / 5  # of the images, where a data set comes without a test set
VALIDATION_SHARE = 1 / 6  # of the training images
FIXED_SEED = 0  # of the test split and of subsets: they never change with the seed of a run
IN_MEMORY = "in-memory"  # the name of data that were given as arrays or torch data sets


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images uint8 (N, channels, height, width) and labels: classes int64 (N,), labels uint8 (N, labels) of 0 and 1, or
    values float32 (N, values).

    `flip`: a mirrored image keeps its label. `crop`: pixels of padding that random crops may use. `class_names`: one a
    class, the labels where there are none. `normalization`: how pixels enter a network (`normalization.to_input`).
    `origins`: where the images of each split come from; `skipped`: files that lay there and are no images.
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
    class_names: tuple[str, ...] = ()
    normalization: str = SYMMETRIC
    origins: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", numbered(self.classes))

    @property
    def kind(self) -> str:
        """What labels say: classes, labels or values (`trainers.labels`). `classes` counts these."""
        return kind_of(self.train_y)

    @property
    def images(self) -> Images:
        """What a network that is trained on these is for."""
        return Images(self.normalization, self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.train_x.shape[1:]
        return channels, height, width

    def test(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The test set. No search and no training may call this; the last evaluation does."""
        return self._test

    def to_input(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 pixels to what a network sees, float32."""
        return to_input(pixels, self.normalization)

    def spread(self, count: int) -> torch.Tensor:
        """Up to so many training images as a network takes them, evenly spread over the whole set."""
        count = min(count, len(self.train_x))
        return self.to_input(self.train_x[torch.arange(count) * len(self.train_x) // count])

    def fed(self, normalization: str = SYMMETRIC, flip: bool | None = None) -> ImageData:
        """The same images with another normalization and, unless it is None, another `flip`. Raises BankwiseError where
        these images cannot be normalized so."""
        check_normalization(normalization, self.input_shape[0])
        return dataclasses.replace(self, normalization=normalization, flip=self.flip if flip is None else flip)

    @property
    def _splits(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return {"training": (self.train_x, self.train_y), "validation": (self.val_x, self.val_y), "test": self._test}

    @property
    def _gaps(self) -> list[str]:
        """The classes or labels that no training image has."""
        if self.kind == VALUES:
            return []
        one = self.train_y.unique() if self.kind == CLASSES else self.train_y.any(0).nonzero()
        there = set(one.flatten().tolist())
        return [name for label, name in enumerate(self.class_names) if label not in there]

    def identity(self) -> dict[str, Any]:
        """What tells these images from others, JSON-ready: shape, class names, and of each split the number of images
        and a checksum of pixels and labels."""
        splits = self._splits
        return {
            "input_shape": list(self.input_shape),
            "class_names": list(self.class_names),
            "images": {name: len(labels) for name, (_, labels) in splits.items()},
            "checksums": {name: checksum(tensors) for name, tensors in splits.items()},
        }

    def lines(self) -> list[str]:
        """What was read: a line a split, with its number of images and classes and its source, how pixels enter, and
        the files that were skipped."""
        names = ", ".join(self.class_names[:8]) + (", ..." if self.classes > 8 else "")
        size = "x".join(map(str, self.input_shape))
        flipped = "flipped at random" if self.flip else "not flipped"
        count = self.kind if self.classes > 1 or self.kind == CLASSES else self.kind[:-1]
        lines = [f"{self.classes} {count} ({names}); images {size}, {self.normalization}, {flipped}"]
        for name, (_, labels) in self._splits.items():
            if self.kind != CLASSES:
                lines.append(f"{name}: {len(labels):,} images, {self.origins.get(name, self.name)}")
                continue
            seen = len(labels.unique())
            classes = f"{seen} classes" if seen == self.classes else f"only {seen} of the {self.classes} classes"
            lines.append(f"{name}: {len(labels):,} images of {classes}, {self.origins.get(name, self.name)}")
        if self.classes == 1 and self.kind == CLASSES:
            lines.append("warning: there is one class alone: every image is of it, whatever a network learns")
        if gaps := self._gaps:
            shown = ", ".join(gaps[:8]) + (", ..." if len(gaps) > 8 else "")
            lines.append(f"warning: no training image of {len(gaps)} of the {self.classes} {self.kind}: {shown}")
        if self.skipped:
            shown = ", ".join(self.skipped[:3]) + (", ..." if len(self.skipped) > 3 else "")
            lines.append(f"skipped {len(self.skipped):,} file(s) that are no images: {shown}")
        return ["".join(c if c.isprintable() else "?" for c in line) for line in lines]


def load_data(
    name: str,
    *,
    root: str | Path | None = None,
    limit: int | None = None,
    validation: float | None = None,
    seed: int = 0,
    image_size: int | None = None,
    normalization: str = SYMMETRIC,
    flip: bool | None = None,
    only: str | None = None,
) -> ImageData:
    """The data set `name` (`bankwise.trainers.data_sets`), below `root` (default: BANKWISE_DATA, else ./data).

    `limit` keeps that many training images (validation included), the same ones for every seed. `validation` is the
    share of them split off, stratified, by `seed` (None: VALIDATION_SHARE, or the set's own validation images, beside
    which a share is an error). `image_size` is the side of the images of an image folder; `flip`: whether a mirrored
    image keeps its label (None: as the data set says). With `only`, "training", "validation" or "test", one image is
    read of each other split, which saves reading a large folder. Raises BankwiseError where the images cannot be read.
    """
    check_share(validation)
    data_set = open_data_set(name, data_folder(root), image_size)
    source = data_set.read()
    data = split(name, source, data_set.flip, data_set.crop, limit=limit, validation=validation, seed=seed, only=only)
    return data.fed(normalization, flip)


def data_folder(root: str | Path | None) -> Path:
    """The folder of data sets: `root`, else BANKWISE_DATA, else ./data."""
    return Path(root or os.environ.get("BANKWISE_DATA") or "data").expanduser()


def data_in_memory(
    data: object,
    *,
    limit: int | None = None,
    validation: float | None = None,
    normalization: str = SYMMETRIC,
    flip: bool | None = None,
) -> ImageData:
    """Image data of arrays or torch data sets (`data_sets.in_memory.source_of`). Raises BankwiseError for others."""
    check_share(validation)
    made = split(IN_MEMORY, source_of(data), False, None, limit=limit, validation=validation)
    return made.fed(normalization, flip)


def check_share(validation: float | None) -> None:
    """BankwiseError for a share of validation images that is none."""
    if validation is not None and not 0 < validation < 1:
        raise BankwiseError(f"validation share {validation:g}: must lie between 0 and 1")


def split(
    name: str,
    source: Source,
    flip: bool,
    crop: int | None,
    *,
    limit: int | None = None,
    validation: float | None = None,
    seed: int = 0,
    only: str | None = None,
) -> ImageData:
    """A source's images in training, validation and test set, as `load_data` says."""
    if source.validation is not None and validation is not None:
        raise BankwiseError(f"validation share {validation:g}: {name} comes with validation images of its own")
    train, test, classes = source.train, source.test, len(source.class_names)
    alike = strata(train.labels)

    def read(part: str, images: Labelled, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return _read(name, part, images, indices if only in (None, part) else indices[:1])

    keep = np.arange(len(train.labels))
    if test is None:
        apart, keep = stratified_split(alike, round(TEST_SHARE * len(keep)), FIXED_SEED)
        test_set = read("test", train, apart)
    else:
        test_set = read("test", test, np.arange(len(test.labels)))

    if limit is not None and limit < len(keep):
        if limit < 2 * classes:
            raise BankwiseError(f"limit {limit} is too small for {name}: {classes} classes need {2 * classes} images")
        keep = keep[stratified_split(alike[keep], limit, FIXED_SEED)[0]]

    if source.validation is None:
        first, rest = stratified_split(alike[keep], round((validation or VALIDATION_SHARE) * len(keep)), seed)
        val_set, keep = read("validation", train, keep[first]), keep[rest]
    else:
        val_set = read("validation", source.validation, np.arange(len(source.validation.labels)))
    train_set = read("training", train, keep)

    side = min(train_set[0].shape[2:])
    if crop is None:
        crop = side // 8 if side >= 32 else side // 14  # 4 for 32 x 32, 2 for 28 x 28, none for 8 x 8
    return ImageData(
        name, classes, *train_set, *val_set, flip, crop, test_set, source.class_names, **_told(name, source)
    )


def _told(name: str, source: Source) -> dict[str, Any]:
    """`origins` and `skipped` of ImageData."""
    given = {"training": source.train, "validation": source.validation, "test": source.test}
    there = {split: images for split, images in given.items() if images is not None}
    off = f"split off the training images of {source.train.origin or name}"
    return {
        "origins": {split: there[split].origin or name if split in there else off for split in given},
        "skipped": tuple(file for images in there.values() for file in images.skipped),
    }


def _read(name: str, part: str, images: Labelled, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    if not len(indices):
        raise BankwiseError(f"{name}: no images are left for the {part} set of {len(images.labels)} images")
    return images.read(indices), torch.from_numpy(images.labels[indices])
