"""The network of a data set, traced: without reading the images where the data set's name says their shape."""

from __future__ import annotations

from pathlib import Path

from search_space.networks import build
from search_space.shape import NetworkShape
from search_space.trace import trace
from trainers.data import load_data

KNOWN = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion-mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
}


def inputs_of(data: str, data_root: Path | None = None) -> tuple[tuple[int, int, int], int]:
    """(channels, height, width) of its images, and the number of classes."""
    if data in KNOWN:
        return KNOWN[data]
    loaded = load_data(data, root=data_root)
    return loaded.input_shape, loaded.classes


def traced(
    network: str,
    data: str,
    data_root: Path | None,
    input_shape: tuple[int, int, int] | None,
    classes: int | None,
    keep: tuple[str, ...],
) -> NetworkShape:
    """The shape of `network` for the data's images; a given `input_shape` or `classes` replaces the data's."""
    if input_shape is None or classes is None:
        of_data = inputs_of(data, data_root)
        input_shape, classes = input_shape or of_data[0], classes or of_data[1]
    return trace(build(network, classes=classes, in_channels=input_shape[0]), network, input_shape, classes, keep)
