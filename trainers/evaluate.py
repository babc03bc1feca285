"""What a network says of images, and its batch norm statistics estimated anew."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from search_space.errors import BankwiseError
from trainers.data import to_input


def model_device(model: nn.Module) -> torch.device:
    """Where the network is; the CPU for one without parameters and buffers."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def realign(changed: nn.Module, original: nn.Module, pixels: torch.Tensor) -> None:
    """Move the batch norm statistics of `changed`, a copy of `original` with other weights, by what these changed.

    Both are estimated on the same images (`recalibrate`): means move by the difference, variances by the ratio. So
    statistics that a training gathered, with its augmentation, are not replaced by those of plain images.
    """
    pair = [copy.deepcopy(changed), copy.deepcopy(original)]
    for network in pair:
        recalibrate(network, pixels)
    for norm, new, old in zip(*(_norms(network) for network in (changed, *pair)), strict=True):
        norm.running_mean += new.running_mean - old.running_mean
        norm.running_var *= new.running_var / old.running_var.clamp(min=1e-12)


def _norms(model: nn.Module) -> list[nn.Module]:
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


def predict(model: nn.Module, pixels: torch.Tensor, batch: int = 500) -> torch.Tensor:
    """Logits float32 (N, classes), on the CPU, of images uint8 (N, C, H, W), in evaluation mode."""
    device = model_device(model)
    with kept_mode(model), torch.no_grad():
        model.eval()
        return torch.cat([_logits(model(to_input(part.to(device)))).float().cpu() for part in pixels.split(batch)])


def _logits(output: object) -> torch.Tensor:
    if isinstance(output, torch.Tensor) and output.dim() == 2:
        return output
    given = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    raise BankwiseError(f"the network gives {given}, not logits (images, classes): its accuracy cannot be measured")


class ImageNetPixels(nn.Module):
    """A network that was trained on images less ImageNet's mean, over its deviation, for images in [-1, 1]."""

    MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as torchvision's pretrained networks take them

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        for name, values in (("mean", self.MEAN), ("deviation", self.DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        return ((x + 1) / 2 - self.mean) / self.deviation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(self.prepare(x))


def accuracy(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, batch: int = 500) -> float:
    """The share of images, 0 to 1, whose largest logit is that of their label."""
    right = int((predict(model, pixels, batch).argmax(1) == labels.cpu()).sum())
    return right / len(labels)


def recalibrate(model: nn.Module, pixels: torch.Tensor, batch: int = 200, batches: int = 10) -> None:
    """Estimate all batch norm statistics anew: their mean over up to `batches` batches of about `batch` images.

    The images are spread evenly over `pixels`, and each batch over all of them, so that sorted classes do no harm. All
    other modules run in evaluation mode.
    """
    norms = _norms(model)
    device = model_device(model)
    momenta = [norm.momentum for norm in norms]
    total = min(len(pixels), batch * batches)
    picks = torch.arange(total) * len(pixels) // total
    rounds = max(1, total // batch)
    with kept_mode(model), torch.no_grad():
        model.eval()
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain mean over the batches
                norm.train()
            for start in range(rounds if norms else 0):
                model(to_input(pixels[picks[start::rounds]].to(device)))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
