"""What a network says of images, and its batch norm statistics estimated anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trainers.data import to_input


def model_device(model: nn.Module) -> torch.device:
    """Where the network is; the CPU for one without parameters and buffers."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


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
        return torch.cat([model(to_input(part.to(device))).float().cpu() for part in pixels.split(batch)])


def accuracy(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, batch: int = 500) -> float:
    """The share of images, 0 to 1, whose largest logit is that of their label."""
    right = int((predict(model, pixels, batch).argmax(1) == labels.cpu()).sum())
    return right / len(labels)


def recalibrate(model: nn.Module, pixels: torch.Tensor, batch: int = 200, batches: int = 10) -> None:
    """Estimate all batch norm statistics anew: their mean over up to `batches` batches of about `batch` images.

    The images are spread evenly over `pixels`, and each batch over all of them, so that sorted classes do no harm. All
    other modules run in evaluation mode.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
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
