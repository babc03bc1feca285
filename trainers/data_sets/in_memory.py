"""Images of a notebook: arrays, tensors or torch data sets. They have no name: functions take them as they are."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bankwise.search_space.errors import BankwiseError, short
from bankwise.trainers.data_sets.base import Source, arrays, check_arrays, check_labels, classes_of
from bankwise.trainers.data_sets.image_file import pixels_of
from bankwise.trainers.data_sets.npz import from_arrays

WHERE = "data in memory"
RIGHT = (
    "a data set's name, a TaskSource, ImageData, a torch Dataset or DataLoader or two (training, test), or arrays "
    "(x, y) or (x_train, y_train, x_test, y_test)"
)


def source_of(data: object) -> Source:
    """A source of `data`: a torch Dataset or DataLoader, a pair of them (training, test), arrays (x, y), or arrays
    (x_train, y_train, x_test, y_test). Without test images they are split off.

    Pixels are uint8 (N, H, W), (N, H, W, C) or (N, C, H, W). Labels are classes (N,), whole numbers from 0, labels
    (N, labels) of 0 and 1, or values in floating point (N,) or (N, values). A torch Dataset gives an
    image and a label for every index; images may be PIL images or float tensors in [0, 1], as `ToTensor` makes them.
    A DataLoader gives batches of such; they are read once, so its own augmentation is applied once.
    Raises BankwiseError for anything else.
    """
    if isinstance(data, Dataset | DataLoader):
        return _one(*_read(data), _names(data))
    if isinstance(data, Sequence) and len(data) == 2 and all(isinstance(part, Dataset | DataLoader) for part in data):
        return from_arrays(WHERE, *_read(data[0]), *_read(data[1]), class_names=_names(data[0]))
    if isinstance(data, Sequence) and len(data) in (2, 4) and not isinstance(data, str):
        parts = [_array(part) for part in data]
        if len(parts) == 2:
            return _one(parts[0], parts[1])
        x_train, y_train, x_test, y_test = parts
        return from_arrays(WHERE, x_train, y_train, x_test, y_test)
    raise BankwiseError(f"data of type {type(data).__name__}: expected {RIGHT}")


def _one(x: np.ndarray, y: np.ndarray, class_names: tuple[str, ...] | None = None) -> Source:
    y = check_arrays(WHERE, "x", "y", x, y)
    class_names = class_names or classes_of(WHERE, "y", y)
    check_labels(WHERE, "y", y, len(class_names))
    return Source(class_names, arrays(x, y))


def _array(values: object) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    if isinstance(values, np.ndarray | list | tuple):
        try:
            return np.asarray(values)
        except ValueError as error:
            raise BankwiseError(f"{WHERE}: not an array ({error})") from None
    raise BankwiseError(f"{WHERE}: an array is a {type(values).__name__}; expected {RIGHT}")


def _names(data: Dataset[Any] | DataLoader[Any]) -> tuple[str, ...] | None:
    """torchvision's data sets name their classes."""
    names = getattr(data.dataset if isinstance(data, DataLoader) else data, "classes", None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) and names else None


def _read(data: Dataset[Any] | DataLoader[Any]) -> tuple[np.ndarray, np.ndarray]:
    """All images uint8 (N, ...), and their labels."""
    images: list[np.ndarray] = []
    labels: list[Any] = []
    for image, label in _batched(data) if isinstance(data, DataLoader) else _indexed(data):
        labels.append(_label(label, len(images)))
        if isinstance(labels[-1], int) != isinstance(labels[0], int):
            others = "a whole number" if isinstance(labels[0], int) else "an array or a value"
            raise BankwiseError(
                f"{WHERE}: the label of image {len(images)} is {short(label)}, not {others} as before it"
            )
        images.append(_pixels(image, len(images)))
    if not images:
        raise BankwiseError(f"{WHERE}: {type(data).__name__} is empty")
    if len({image.shape for image in images}) > 1:
        raise BankwiseError(f"{WHERE}: images of several shapes: {images[0].shape} and others; resize them to one")
    try:
        return np.stack(images), np.asarray(labels)
    except ValueError:
        raise BankwiseError(f"{WHERE}: images have labels of several shapes") from None


def _indexed(data: Dataset[Any]) -> Iterator[tuple[Any, Any]]:
    if not hasattr(data, "__len__"):
        raise BankwiseError(f"{WHERE}: {type(data).__name__} has no length; a data set with an index is needed")
    for index in range(len(data)):
        try:
            image, label = data[index]
        except (TypeError, ValueError):
            raise BankwiseError(f"{WHERE}: item {index} of {type(data).__name__} is not an image and a label") from None
        yield image, label


def _batched(data: DataLoader[Any]) -> Iterator[tuple[Any, Any]]:
    for number, batch in enumerate(data):
        try:
            images, labels = batch
        except (TypeError, ValueError):
            raise BankwiseError(f"{WHERE}: batch {number} of the DataLoader is not images and labels") from None
        if len(images) != len(labels):
            raise BankwiseError(f"{WHERE}: batch {number} has {len(images)} images and {len(labels)} labels")
        yield from zip(images, labels, strict=True)


def _label(label: object, index: int) -> object:
    """A class, or an array of labels or values."""
    try:
        return operator.index(label)  # type: ignore[arg-type]
    except TypeError:
        pass
    found = label.detach().cpu().numpy() if isinstance(label, torch.Tensor) else label
    if isinstance(found, float | np.floating | np.ndarray) and np.asarray(found).dtype.kind in "iubf":
        return found
    raise BankwiseError(
        f"{WHERE}: the label of image {index} is {short(label)}, not a whole number, values or an array"
    )


def _pixels(image: object, index: int) -> np.ndarray:
    """uint8 pixels of one image."""
    if isinstance(image, Image.Image):
        return pixels_of(image)
    values: np.ndarray = _array(image) if isinstance(image, torch.Tensor | np.ndarray) else np.asarray(image)
    if not values.size:
        raise BankwiseError(f"{WHERE}: image {index} has shape {values.shape}: it has no pixels")
    if np.issubdtype(values.dtype, np.floating):
        if not (values.min() >= 0 and values.max() <= 1):  # neither holds of NaN
            raise BankwiseError(
                f"{WHERE}: image {index} has values {values.min():g} to {values.max():g}: must be in [0, 1], or uint8"
            )
        rounded: np.ndarray = np.rint(values * 255).astype(np.uint8)
        return rounded
    if values.dtype != np.uint8:
        raise BankwiseError(f"{WHERE}: image {index} is {values.dtype}, must be uint8 or floating point in [0, 1]")
    return values
