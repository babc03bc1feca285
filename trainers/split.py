"""Stratified, seeded orders of labelled images: what every split and every subset is cut from."""

from __future__ import annotations

import numpy as np


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A permutation of the indices of `labels` (N,) of which every prefix holds the classes in their proportions.

    Image i of a shuffled class of size m takes the place (i + 1/2) / m; sorting all places interleaves the classes, so
    a prefix holds each class in its share, up to rounding.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[rng.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((rng.random(len(labels)), place))


def stratified_split(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `count` images and of the others, both ascending."""
    order = stratified_order(labels, seed)
    return np.sort(order[:count]), np.sort(order[count:])
