"""What a user names or gives as network and data: one description, the images, and the network's shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import reference_of
from bankwise.search_space.networks import IN_MEMORY, made_by
from bankwise.search_space.normalization import SYMMETRIC
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.torchvision_import import import_torchvision
from bankwise.search_space.trace import shape_of
from bankwise.trainers.data import ImageData, data_folder, data_in_memory
from bankwise.trainers.data_sets import open_data_set
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, TaskSource, make_task

DETECTOR_SIDES = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}


@dataclass(frozen=True)
class Inputs:
    """A network and its images. `source` describes them; `module` is the network where it is one in memory, `named`
    says whether another process can load the data by the description."""

    source: TaskSource
    data: ImageData
    module: nn.Module | None = None
    named: bool = True

    @property
    def portable(self) -> TaskSource | None:
        """The description, where another process can make the task from it alone."""
        return self.source if self.named and self.module is None else None

    def task(self, recipe: Recipe) -> Task:
        """The task, its network with weights of the recipe's seed, or those that a module in memory has."""
        return make_task(self.source.network, self.data, recipe, self.source.keep, self.module)

    def of(self, network: str) -> Inputs:
        """The same images for another network."""
        return dataclasses.replace(self, source=dataclasses.replace(self.source, network=network))


def take(network: object, data: object, keep: tuple[str, ...] = ()) -> Inputs:
    """Read what was given.

    `network` is a reference (`bankwise.search_space.networks`), an nn.Module, a function that makes one of
    `num_classes` and `in_channels`, as far as it takes them, or None where `data` is a TaskSource, which then names it.
    `data` is a data set's name, a TaskSource, ImageData, or images in memory (`bankwise.trainers.data_sets.in_memory`).
    Raises BankwiseError for anything else.
    """
    if callable(network) and not isinstance(network, nn.Module | type):
        return _made(network, data, keep)
    if not isinstance(network, str | nn.Module | None):
        hint = "; give an instance of it" if isinstance(network, type) else ""
        raise BankwiseError(f"network {network!r}: expected a name or an nn.Module{hint}")
    module = network if isinstance(network, nn.Module) else None
    reference = network if isinstance(network, str) else None if module is None else IN_MEMORY
    if isinstance(data, TaskSource):
        if reference not in (None, IN_MEMORY, data.network):
            raise BankwiseError(f"network {reference!r} is not that of the data description, {data.network!r}")
        source = dataclasses.replace(data, network=reference or data.network, keep=_one_keep(keep, data.keep))
        return Inputs(source, source.load(), module)
    if reference is None:
        raise BankwiseError("name a network, such as tiny, or give an nn.Module")
    if isinstance(data, str):
        source = TaskSource(reference, data, keep=keep)
        return Inputs(source, source.load(), module)
    images = data if isinstance(data, ImageData) else data_in_memory(data)
    source = TaskSource(reference, images.name, keep=keep, normalization=images.normalization, flip=images.flip)
    return Inputs(source, images, module, named=False)


def _made(factory: Callable[..., object], data: object, keep: tuple[str, ...]) -> Inputs:
    """With what `factory` makes: by its name where it is a function of a module, so that each seed has a network of its
    own and a file names it; of the program itself, or without a name, one module in memory."""
    with suppress(BankwiseError):
        reference = reference_of("network", factory)
        if not reference.startswith("__main__:"):
            return take(reference, data, keep)
    named = dataclasses.replace(data, network=IN_MEMORY) if isinstance(data, TaskSource) else data
    inputs = take(nn.Identity(), named, keep)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = made_by(factory, IN_MEMORY, inputs.data.classes, inputs.data.input_shape[0])
    return dataclasses.replace(inputs, module=module)


def _one_keep(of_space: tuple[str, ...], of_source: tuple[str, ...]) -> tuple[str, ...]:
    """Modules in floating point are said by the space and by the description: they must agree where both say them."""
    if of_space and of_source and of_space != of_source:
        raise BankwiseError(f"keep: {list(of_source)} of the data description is not {list(of_space)} of the space")
    return of_space or of_source


def fed_as(asked: str | None, recorded: str | None, described: str, what: str) -> str:
    """How pixels enter: as asked, else as `what` records, else as the data description says.

    Raises BankwiseError where what is asked, or described as other than the default, is not what was recorded.
    """
    asked = asked or (described if described != SYMMETRIC else None)
    if asked and recorded and asked != recorded:
        raise BankwiseError(f"{what!r} was made with normalization {recorded}, as it records, not {asked}")
    return asked or recorded or described


def data_options(source: TaskSource) -> list[list[str]]:
    """The options that say what the description does beside network and data, each with its value."""
    names = ("data_root", "limit", "validation", "image_size")
    options = [[f"--{name.replace('_', '-')}", str(getattr(source, name))] for name in names if getattr(source, name)]
    if source.normalization != SYMMETRIC:
        options.append(["--normalization", source.normalization])
    if source.flip is not None:
        options.append(["--flip" if source.flip else "--no-flip"])
    return options


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


def inputs_of(
    data: str, data_root: Path | None = None, image_size: int | None = None
) -> tuple[tuple[int, int, int], int]:
    """(channels, height, width) of its images, and the number of classes; one image is read where the kind of data set
    does not say that."""
    found = open_data_set(data, data_folder(data_root), image_size)
    if found.images is not None:
        return found.images
    source = found.read()
    channels, height, width = source.train.read(np.zeros(1, dtype=np.int64)).shape[1:]
    return (channels, height, width), len(source.class_names)


def traced(
    network: str,
    data: str | None,
    data_root: Path | None,
    input_shape: tuple[int, int, int] | None,
    classes: int | None,
    keep: tuple[str, ...],
    image_size: int | None = None,
) -> NetworkShape:
    """The shape of `network` for the data's images; a given `input_shape` or `classes` replaces the data's,
    `image_size` is the side of the images of a folder.

    Without data the network may give anything, and images are those that a published one is trained for, else digits.
    """
    if input_shape is None or classes is None:
        usual = (usual_inputs(network) if data is None else None) or inputs_of(data or "digits", data_root, image_size)
        input_shape, classes = input_shape or usual[0], classes or usual[1]
    return shape_of(network, input_shape, classes, keep, any_output=data is None)
