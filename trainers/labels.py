"""What labels say of an image: its class, which of several labels it has, or values."""

from __future__ import annotations

import numpy as np
import torch

from bankwise.search_space.errors import BankwiseError

CLASSES, LABELS, VALUES = "classes", "labels", "values"


def kind_of(labels: torch.Tensor | np.ndarray) -> str:
    """CLASSES: (N,) whole numbers, LABELS: (N, labels) of 0 and 1, VALUES: (N, values) in floating point.

    >>> kind_of(torch.zeros(3, dtype=torch.int64)), kind_of(torch.zeros(3, 2)), kind_of(np.eye(3, dtype=np.uint8))
    ('classes', 'values', 'labels')
    """
    if labels.ndim == 1:
        return CLASSES
    floating = labels.is_floating_point() if isinstance(labels, torch.Tensor) else labels.dtype.kind == "f"
    return VALUES if floating else LABELS


def strata(labels: np.ndarray) -> np.ndarray:
    """(N,) whole numbers, equal for images that a stratified split takes to be alike: of one class, of the same labels,
    all of them where labels are values."""
    kind = kind_of(labels)
    if kind == CLASSES:
        return labels
    if kind == VALUES:
        return np.zeros(len(labels), dtype=np.int64)
    alike: np.ndarray = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    return alike


def read_labels(where: str, name: str, given: np.ndarray, images: int) -> np.ndarray:
    """Labels of `images` images: int64 (N,), uint8 (N, labels) or float32 (N, values); (N, 1) of whole numbers are
    classes, (N,) in floating point one value each. Raises BankwiseError, which names them `name`, for others."""
    kind = given.dtype.kind
    if kind not in "iubf":
        raise BankwiseError(f"{where}: {name} is {given.dtype}, must be integers, or floating point for values")
    if given.shape[:1] != (images,) or given.ndim > 2 or (given.ndim == 2 and not given.shape[1]):
        raise BankwiseError(
            f"{where}: {name} has shape {given.shape}, must be ({images},) as there are images, or ({images}, labels)"
        )
    if kind == "f":
        if not np.isfinite(given).all():
            raise BankwiseError(f"{where}: {name} holds values that are no finite numbers")
        values: np.ndarray = given.astype(np.float32).reshape(images, -1)
        return values
    if given.ndim == 1 or given.shape[1] == 1:
        return given.astype(np.int64).reshape(-1)
    if given.min() < 0 or given.max() > 1:
        raise BankwiseError(
            f"{where}: {name} has {given.shape[1]} labels an image and holds {given.min()}..{given.max()}: "
            "each must be 0 or 1"
        )
    return given.astype(np.uint8)
