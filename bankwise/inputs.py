"""The network of a data set, traced: without reading the images where the data set's name says their shape."""

from __future__ import annotations

from pathlib import Path

from search_space.networks import build
from search_space.shape import NetworkShape
from search_space.torchvision_import import import_torchvision
from search_space.trace import trace
from trainers.data import load_data

KNOWN = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion-mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
}

DETECTOR_SIDES = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}


def usual_inputs(network: str) -> tuple[tuple[int, int, int], int] | None:
    """The image shape and classes that a published network is trained for, where its name says that."""
    name, at, _ = network.partition("@")
    if name == "segnet":
        return (3, 360, 480), 11  # CamVid
    if not network.startswith("torchvision:"):
        return None
    models = import_torchvision().models
    name = network.removeprefix("torchvision:")
    if name in models.list_models(module=models.segmentation):
        return (3, 520, 520), 21
    if name in models.list_models(module=models.detection):
        side = DETECTOR_SIDES.get(name, 800)
        return (3, side, side), 91
    side = 299 if name == "inception_v3" else 224
    return (3, side, side), 1000


def inputs_of(data: str, data_root: Path | None = None) -> tuple[tuple[int, int, int], int]:
    """(channels, height, width) of its images, and the number of classes."""
    if data in KNOWN:
        return KNOWN[data]
    loaded = load_data(data, root=data_root)
    return loaded.input_shape, loaded.classes


def traced(
    network: str,
    data: str | None,
    data_root: Path | None,
    input_shape: tuple[int, int, int] | None,
    classes: int | None,
    keep: tuple[str, ...],
) -> NetworkShape:
    """The shape of `network` for the data's images; a given `input_shape` or `classes` replaces the data's.

    Without data the network may give anything, and images are those that a published one is trained for, else digits.
    """
    if input_shape is None or classes is None:
        usual = (usual_inputs(network) if data is None else None) or inputs_of(data or "digits", data_root)
        input_shape, classes = input_shape or usual[0], classes or usual[1]
    made = build(network, classes=classes, in_channels=input_shape[0])
    return trace(made, network, input_shape, classes, keep, any_output=data is None)
