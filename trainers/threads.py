"""How many CPU threads a training keeps busy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bankwise.trainers.data import ImageData
from bankwise.trainers.evaluate import kept_mode
from bankwise.trainers.recipe import Recipe

# Multiply-adds of a batch's forward pass. Two cores, one training alone, a second thread: 0.83x at 30 million, 1.01x at
# 88, 1.27x at 125, 1.74x at 1,740; beside other work it took five times as long with two threads up to 300 million.
PER_THREAD = 50_000_000
_FEW = 2  # images; as few as batch norm trains on


def threads_for(model: nn.Module, data: ImageData, recipe: Recipe, share: int, device: torch.device) -> int:
    """The CPU threads of a training on `device` by batches of `share` images: `Recipe.threads`, where it is given.

    Else one for each PER_THREAD multiply-adds, at least one, at most as many as torch has now. The network and the
    recipe alone decide, not how busy the machine is: rounding hangs on the number of threads.
    """
    most = torch.get_num_threads()
    if recipe.threads is not None or most == 1 or device.type != "cpu":
        return recipe.threads or most
    few, twice = (multiply_adds(model, data, count) for count in (_FEW, 2 * _FEW))
    each = (twice - few) // _FEW  # the others are of weights, made once a batch
    return min(most, max(1, (few + (share - _FEW) * each) // PER_THREAD))


def multiply_adds(model: nn.Module, data: ImageData, images: int) -> int:
    """Of the forward pass of that many images, on the CPU, in evaluation mode: convolutions and matrix products."""
    picks = torch.arange(images) % len(data.train_y)
    maps = data.to_input(data.train_x[picks])
    with (
        kept_mode(model),
        torch.random.fork_rng(devices=[]),
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
    ):
        model.eval()(maps)
    return int(counter.get_total_flops()) // 2


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch has `count` CPU threads while it lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
