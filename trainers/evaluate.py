"""What a network says of images, and its batch norm statistics estimated anew."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.normalization import SYMMETRIC, to_input
from bankwise.search_space.outputs import described, logits_of
from bankwise.trainers.data import ImageData
from bankwise.trainers.metric import AUTO, find_metric


def model_device(model: nn.Module) -> torch.device:
    """Where the network is; the CPU for one without parameters and buffers."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


MOST_CHANGE = 100.0  # of a variance by other weights
_LEAST_EPS = 1e-12  # torch estimates nothing with 0, which a norm that was folded into a file has


def realign(changed: nn.Module, original: nn.Module, pixels: torch.Tensor, normalization: str = SYMMETRIC) -> None:
    """Move the batch norm statistics of `changed`, a copy of `original` with other weights, by what these changed.

    Both are estimated on the same images (`recalibrate`): means move by the difference, variances by the ratio. So
    statistics that a training gathered, with its augmentation, are not replaced by those of plain images. The ratio is
    that of the variances as the norm divides by them, its eps added: 1 where both vanish, as behind pruned filters,
    whose running statistics may be of the time before. It is at most `MOST_CHANGE`, either way.
    """
    pair = [copy.deepcopy(changed), copy.deepcopy(original)]
    for network in pair:
        recalibrate(network, pixels, normalization=normalization)
    for norm, new, old in zip(*(_norms(network) for network in (changed, *pair)), strict=True):
        norm.running_mean += new.running_mean - old.running_mean
        eps = norm.eps or _LEAST_EPS
        ratio = (new.running_var + eps) / (old.running_var + eps)
        norm.running_var *= ratio.clamp(1 / MOST_CHANGE, MOST_CHANGE)


def _norms(model: nn.Module) -> list[Any]:
    """The batch norms that keep running statistics."""
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]


@contextmanager
def kept_mode(model: nn.Module) -> Iterator[None]:
    """Gives every module its training or evaluation mode back at the end."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def predict(
    model: nn.Module,
    pixels: torch.Tensor,
    batch: int = 500,
    normalization: str = SYMMETRIC,
    amp: bool = False,
    flips: bool = False,
) -> torch.Tensor:
    """Logits float32 (N, classes), on the CPU, of images uint8 (N, C, H, W), in evaluation mode.

    `amp` computes them in bfloat16, as epochs of a training are validated; a file is measured in float32. With `flips`
    they are the mean over an image and its mirror image, for twice the work.
    """

    def logits(images: torch.Tensor) -> torch.Tensor:
        found = _logits(model(images)).float()
        return (found + _logits(model(images.flip(3))).float()) / 2 if flips else found

    device = model_device(model)
    with kept_mode(model), torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=amp):
        model.eval()
        return torch.cat([logits(to_input(part.to(device), normalization)).cpu() for part in pixels.split(batch)])


def _logits(output: object) -> torch.Tensor:
    logits = logits_of(output)
    if logits is not None and logits.dim() == 2:
        return logits
    given = described(output)
    raise BankwiseError(f"the network gives {given}, not logits (images, classes): its accuracy cannot be measured")


def accuracy(
    model: nn.Module,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    batch: int = 500,
    normalization: str = SYMMETRIC,
    amp: bool = False,
    flips: bool = False,
) -> float:
    """The share of images, 0 to 1, whose largest logit, as `predict` gives it, is that of their label."""
    right = int((predict(model, pixels, batch, normalization, amp, flips).argmax(1) == labels.cpu()).sum())
    return right / len(labels)


def accuracy_on(
    model: nn.Module,
    data: ImageData,
    split: str = "validation",
    images: int | None = None,
    flips: bool = False,
) -> float:
    """The same on a split of the data (`measure_on`)."""
    return measure_on(model, data, "accuracy", split, images, flips=flips)


def measure_on(
    model: nn.Module,
    data: ImageData,
    metric: str = AUTO,
    split: str = "validation",
    images: int | None = None,
    amp: bool = False,
    flips: bool = False,
) -> float:
    """The metric (`trainers.metric.find_metric`) on the data's validation or, read on purpose, "test" split, with the
    data's normalization; of the first `images` alone where that is a number. NaN where the outputs are. `amp` and
    `flips` as in `predict`."""
    outputs, labels = outputs_on(model, data, split, images, amp, flips)
    return find_metric(metric, data.kind)(outputs, labels)


def outputs_on(
    model: nn.Module,
    data: ImageData,
    split: str,
    images: int | None = None,
    amp: bool = False,
    flips: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs float32 (N, outputs) and labels of the split, on the CPU."""
    pixels, labels = data.test() if split == "test" else (data.val_x, data.val_y)
    outputs = predict(model, pixels[:images], normalization=data.normalization, amp=amp, flips=flips)
    return outputs, labels[:images].cpu()


def recalibrate(
    model: nn.Module, pixels: torch.Tensor, batch: int = 200, batches: int = 10, normalization: str = SYMMETRIC
) -> None:
    """Estimate all batch norm statistics anew: their mean over up to `batches` batches of about `batch` images.

    The images are spread evenly over `pixels`, and each batch over all of them, so that sorted classes do no harm. All
    other modules run in evaluation mode.
    """
    device = model_device(model)
    total = min(len(pixels), batch * batches)
    picks = torch.arange(total) * len(pixels) // total
    rounds = max(1, total // batch)
    parts = (pixels[picks[start::rounds]] for start in range(rounds))
    estimate_norms(model, (to_input(part.to(device), normalization) for part in parts))


def estimate_norms(model: nn.Module, inputs: Iterable[object]) -> None:
    """Estimate all batch norm statistics anew: their mean over the batches of `inputs`, as the network takes them. All
    other modules run in evaluation mode."""
    norms = _norms(model)
    before = [(norm, norm.momentum, norm.eps) for norm in norms]
    with kept_mode(model), torch.no_grad():
        model.eval()
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain mean over the batches
                norm.eps = norm.eps or _LEAST_EPS
                norm.training = True  # it alone: what is inside it, such as dropout, is not
            for images in inputs if norms else ():
                model(images)
        finally:
            for norm, momentum, eps in before:
                norm.momentum, norm.eps = momentum, eps
