"""C sources of a packed model: scales of int8 activations from its training images, and what they measure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from bankwise.reading_back import data_of, fitting_images, model_of
from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.normalization import to_input
from bankwise.search_space.targets.c.target import ACTIVATIONS, CTarget
from bankwise.search_space.targets.file.container import ModelFile
from bankwise.trainers.evaluate import outputs_on
from bankwise.trainers.metric import AUTO, find_metric
from bankwise.trainers.task import TaskSource

CALIBRATING = 256  # training images


@dataclass(frozen=True)
class DeviceAccuracy:
    """The metric called `metric` on `images` test images of `data`: of the packed file, and of the C sources with int8
    activations, by their reference in Python, which gives the same logits to the last bit."""

    data: str
    images: int
    file: float
    device: float
    metric: str = "accuracy"


def check_options(target: str, activations: str, name: str | None, data: object = None) -> None:
    """BankwiseError for what only C sources have, and for data that nothing is calibrated on."""
    if data is not None and activations == ACTIVATIONS[0]:
        raise BankwiseError(f"data {short(data)}: of the target {CTarget.name!r} with int8 activations, nothing else")
    if target != CTarget.name:
        for option, value, usual in (("activations", activations, ACTIVATIONS[0]), ("name", name, None)):
            if value != usual:
                raise BankwiseError(f"{option} {value!r} is of the target {CTarget.name!r}, not {target!r}")


def described(run: str | Path, data: str | None, data_root: Path | None) -> TaskSource | None:
    """The data that the run recorded, but for what is given; None where there are none."""
    if data is None:
        recorded = data_of(run) if RunFolder(run).model.exists() else None
        root = None if data_root is None else str(data_root.resolve())
        return recorded if recorded is None or root is None else dataclasses.replace(recorded, data_root=root)
    return TaskSource("", data, data_root=None if data_root is None else str(data_root.resolve()))


def c_target(
    run: str | Path, model: ModelFile, network: nn.Module | None, activations: str, data: object, name: str | None
) -> CTarget:
    """The target of a model of `run`, calibrated on the training images of `data`.

    Raises BankwiseError where there are none, or they do not fit the model.
    """
    images = None
    if activations != ACTIVATIONS[0]:
        CTarget(activations=activations)  # an error for others, before any data
        found = fitting_images(model_of(run), model, _given(run, data), "training", network)
        images = found.spread(CALIBRATING)
    return CTarget(network, activations, images, name)


def _given(run: str | Path, data: object) -> object:
    if data is None:
        raise BankwiseError(f"int8 activations need training images: {str(run)!r} records no data, name it by --data")
    return data


def device_accuracy(
    run: str | Path,
    model: ModelFile,
    target: CTarget,
    data: object,
    network: nn.Module | None = None,
) -> DeviceAccuracy:
    """Measured on the test images of `data`, by the metric of the run, else the usual one for their labels. Raises
    BankwiseError where these do not fit the model."""
    images = fitting_images(model_of(run), model, _given(run, data), "test", network)
    folder = RunFolder(run)
    metric = find_metric(str(folder.read(folder.summary).get("metric", AUTO)), images.kind)
    reference = target.reference(model.shape, model.plan, model.codes)
    outputs = []
    for some in images.test()[0].split(500):
        given = reference.of_pixels(some)
        given = reference.quantized(to_input(some, images.normalization)) if given is None else given
        outputs.append(reference.logits(given) * reference.scales[reference.scales.logits])
    of_file, labels = outputs_on(model.network(), images, "test")
    file, device = metric(of_file, labels), metric(torch.cat(outputs), labels)
    return DeviceAccuracy(images.name, len(labels), file, device, metric.name)
