"""What a data set is: labelled images as they lie on disk or in memory, not yet split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.labels import CLASSES, kind_of, read_labels

CHANNELS = 4  # at most, of an image


@dataclass(frozen=True)
class Labelled:
    """Labels (`trainers.labels.read_labels`), and `read(indices)`: uint8 pixels (len(indices),
    channels, height, width). `origin` says where they lie, `skipped` are files there that are no images."""

    labels: np.ndarray
    read: Callable[[np.ndarray], torch.Tensor]
    origin: str = ""
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """The images of a data set. Where `test` or `validation` is None it is split off `train`."""

    class_names: tuple[str, ...]
    train: Labelled
    test: Labelled | None = None
    validation: Labelled | None = None


class DataSet(ABC):
    """A kind of data set: a subclass says what it is called and how it is read.

    `name` is what a user writes, as NAME or, with `takes_path`, as NAME:PATH; `help` says in a few words what it is.
    `flip`: a mirrored image keeps its label. `crop`: pixels of padding for random crops; None: an eighth of the height
    from 32 pixels on, else a fourteenth. `images`: (shape, classes) where they are known without reading.
    """

    name: ClassVar[str]
    help: ClassVar[str] = ""
    takes_path: ClassVar[bool] = False
    resizes: ClassVar[bool] = False  # obeys the image size
    in_root: ClassVar[bool] = False  # lies in the folder of data sets, the data root
    flip: ClassVar[bool] = False
    crop: ClassVar[int | None] = None
    images: ClassVar[tuple[tuple[int, int, int], int] | None] = None

    def __init__(self, path: Path | None, root: Path, image_size: int | None):
        self.path, self.root, self.image_size = path, root, image_size

    @classmethod
    def written(cls) -> str:
        """How a user writes it."""
        return f"{cls.name}:PATH" if cls.takes_path else cls.name

    @abstractmethod
    def read(self) -> Source:
        """Raises BankwiseError where the images cannot be read."""


def numbered(classes: int) -> tuple[str, ...]:
    """Class names where there are none: the labels."""
    return tuple(map(str, range(classes)))


def arrays(pixels: np.ndarray, labels: object) -> Labelled:
    """Pixels uint8 (N, H, W), (N, H, W, C) or (N, C, H, W). Raises BankwiseError where both of the latter may be."""
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.shape[-1] <= CHANNELS:
        if pixels.shape[1] <= CHANNELS:
            raise BankwiseError(
                f"images of shape {pixels.shape[1:]} can be (channels, height, width) or (height, width, channels): "
                f"pad them to more than {CHANNELS} rows and columns, or give grey ones as (images, height, width)"
            )
        pixels = pixels.transpose(0, 3, 1, 2)
    return Labelled(np.asarray(labels), lambda indices: torch.from_numpy(np.ascontiguousarray(pixels[indices])))


def check_arrays(where: str, x: str, y: str, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels (`trainers.labels.read_labels`); an error unless pixels and labels, called `x` and `y`, are right and
    of one length."""
    if pixels.dtype != np.uint8:
        raise BankwiseError(f"{where}: {x} is {pixels.dtype}, must be uint8 (pixels 0..255)")
    if (
        not (pixels.ndim == 3 or (pixels.ndim == 4 and min(pixels.shape[1], pixels.shape[3]) <= CHANNELS))
        or not pixels.size
    ):
        raise BankwiseError(
            f"{where}: {x} has shape {pixels.shape}, must be (images, height, width), (images, height, width, "
            f"channels) or (images, channels, height, width) with 1 to {CHANNELS} channels"
        )
    return read_labels(where, y, labels, len(pixels))


def classes_of(where: str, name: str, labels: np.ndarray) -> tuple[str, ...]:
    """Class names where there are none, from the training labels; an error unless these are 0, 1, 2, ... without a
    gap: a class that no image shows is a mistake in the labels. Of several labels or values a name each."""
    if kind_of(labels) != CLASSES:
        return numbered(labels.shape[1])
    found = np.unique(labels)
    low, high, classes = int(found[0]), int(found[-1]), len(found)
    if low == 0 and high == classes - 1:
        return numbered(classes)
    raise BankwiseError(
        f"{where}: {name} holds labels {low}..{high} of {classes} classes, must be 0..{classes - 1}, each with an image"
    )


def check_labels(where: str, name: str, labels: np.ndarray, classes: int) -> None:
    """An error unless all labels lie in 0..classes - 1; of several labels or values unless there are so many."""
    if kind_of(labels) != CLASSES:
        if labels.shape[1] != classes:
            raise BankwiseError(f"{where}: {name} holds {labels.shape[1]} {kind_of(labels)} an image, not {classes}")
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise BankwiseError(f"{where}: {name} holds labels {low}..{high}, must lie in 0..{classes - 1}")
