"""A trained network opened for conversion: its weights, and the images that calibrate and measure it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bankwise.inputs import fed_as, take, usual_inputs
from bankwise.recorded import as_in_run, values_in
from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.images import Images, ramp
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.networks import IN_MEMORY, build_or_copy
from bankwise.search_space.normalization import SYMMETRIC, check_normalization
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.state import check_kept, check_rebuilt
from bankwise.search_space.trace import shape_of
from bankwise.trainers.data import ImageData
from bankwise.trainers.data_sets import find_data_set
from bankwise.trainers.task import TaskSource
from bankwise.weights import load_weights, run_of

IMAGES = 256  # that calibrate


@dataclass(frozen=True)
class Trained:
    """A network with its weights; `weights` says where they are from. `module` is it where it was one in memory.
    `images` are what it was trained on, where that is known; `source` is the data description of the run that trained
    it."""

    network: nn.Module
    shape: NetworkShape
    weights: str
    data: ImageData | None = None
    images: Images | None = None
    source: Mapping[str, Any] | None = None

    @property
    def module(self) -> nn.Module | None:
        return self.network if self.shape.network == IN_MEMORY else None

    def calibration(self) -> torch.Tensor | None:
        """Training images as the network takes them."""
        return None if self.data is None else self.data.spread(IMAGES)

    def some_images(self) -> torch.Tensor:
        """A few images as the network takes them: training images where there are any, else a ramp."""
        found = self.calibration()
        if found is not None:
            return found[:2]
        return ramp(self.shape.input_shape)


def open_trained(
    network: str | nn.Module | None,
    *,
    weights: str | Path | None = None,
    checkpoint: str | Path | None = None,
    data: object = None,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    keep: tuple[str, ...] = (),
    seed: int = 0,
    normalization: str | None = None,
    allow_code: bool = False,
) -> Trained:
    """Build and load a network: `weights` is a file, `checkpoint` a run's folder; without either they are random, or
    those of `network`, where that is an nn.Module.

    `data` is None or as in `bankwise.search`. `normalization` says how pixels enter; None: as the run recorded, else as
    the data description says. Images and classes are those of the data, of the run, as given, or the usual ones of a
    published network. A network of the user's own that the run names needs
    `allow_code`, or `network` to name it too. Raises BankwiseError where these do not agree or are missing.
    """
    if weights is not None and checkpoint is not None:
        raise BankwiseError("weights come from a file or from a run: give --weights or --checkpoint, not both")
    if not isinstance(network, str | nn.Module | None):
        raise BankwiseError(f"network {short(network)}: expected a name or an nn.Module with its weights")
    module = network if isinstance(network, nn.Module) else None
    name: str | None = IN_MEMORY if isinstance(network, nn.Module) else network
    usual, recorded, source = None, Images(), None
    if checkpoint is not None:
        with code_in_files(allow_code, [name]):
            plan, weights = run_of(checkpoint, allow_code=True)
        if name not in (None, plan.network):
            raise BankwiseError(f"the run {str(checkpoint)!r} is of network {plan.network!r}, not of {name!r}")
        name, keep, usual = plan.network, keep or plan.keep, (plan.input_shape, plan.classes)
        recorded = plan.images or recorded
        settings = values_in(RunFolder(checkpoint).settings)
        data, source = as_in_run(data, name, settings), settings.get("source")
    if name is None:
        raise BankwiseError("name a network, such as torchvision:resnet18, or a run by --checkpoint")
    usual = usual or usual_inputs(name)
    images = None if data is None else _images(name, module, data, input_shape or (usual and usual[0]))
    if images is not None:
        used = fed_as(normalization, recorded.normalization, images.normalization, str(checkpoint))
        images = images.fed(used, images.flip)
        recorded.check(images.images, repr(str(checkpoint)), f"data set {images.name!r}")
        usual = (images.input_shape, images.classes)
    if usual is not None:
        wanted = (input_shape or usual[0], classes or usual[1])
    elif input_shape is not None and classes is not None:
        wanted = (input_shape, classes)
    else:
        raise BankwiseError(f"network {name!r}: say what it takes, by --data or by --input CxHxW and --classes N")
    if images is not None and wanted != (images.input_shape, images.classes):
        has = _text(images.input_shape, images.classes)
        raise BankwiseError(f"the network is for {_text(*wanted)}, data set {images.name!r} has {has}")
    shape = shape_of(name, wanted[0], wanted[1], keep, any_output=images is None, module=module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = build_or_copy(name, module, classes=wanted[1], in_channels=wanted[0][0])
    built = built.cpu().eval().requires_grad_(False)
    if weights is not None:
        load_weights(built, weights)
    check_kept(built, shape)
    if module is None:
        check_rebuilt(built, shape, outputs=images is not None)
    given = "the module" if module is not None else "random"
    described = recorded if images is None else images.images
    if images is None and normalization is not None:
        check_normalization(normalization, wanted[0][0])
        used = fed_as(normalization, recorded.normalization, SYMMETRIC, str(checkpoint))
        described = dataclasses.replace(recorded, normalization=used)
    return Trained(built, shape, given if weights is None else str(weights), images, described, source)


def _images(
    network: str, module: nn.Module | None, data: object, input_shape: tuple[int, int, int] | None
) -> ImageData:
    """The data; images of a folder are resized to what the network takes, where the description says no size."""
    if isinstance(data, str):
        data = TaskSource(network, data)
    if isinstance(data, TaskSource):
        data = dataclasses.replace(data, network=network)
        if data.image_size is None and input_shape is not None and find_data_set(data.data).kind.resizes:
            data = dataclasses.replace(data, image_size=input_shape[1])
    return take(module or network, data).data


def _text(input_shape: tuple[int, int, int], classes: int) -> str:
    return f"images {'x'.join(map(str, input_shape))} of {classes} classes"
