"""The network of one plan in a training loop of the user's own: train it as any module, then save its file."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.files import write_bytes
from bankwise.search_space.images import ramp
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import IN_MEMORY, build
from bankwise.search_space.packed import check_packed
from bankwise.search_space.packing import pack as pack_codes
from bankwise.search_space.plan import Plan
from bankwise.search_space.ranges import in_range
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.search_space.trace import trace
from bankwise.trainers.evaluate import estimate_norms, model_device

Images = torch.Tensor | list[torch.Tensor] | tuple[torch.Tensor, ...]  # one batch, or images of sizes of their own
Batch = torch.Tensor | tuple[Any, ...] | list[Any]
_BATCHES = "a batch of images, or of these and their labels, as a DataLoader gives them"


class Child(nn.Module):
    """The trainable network of `plan`: its layers generate their weights from what the file will hold.

    `network` is a reference (`bankwise.search_space.networks`) or a module, which is copied and whose weights the child
    starts from, so that it may be trained before. A flipped sign changes a layer's output more than running means of
    batch norms can follow. So the child keeps the latest `batches` batches that it was trained on, and going from
    `train()` to `eval()` it estimates its norms anew on them. Before any training its norms are those of the network,
    which was of other weights: `recalibrate` estimates them.

    It is called as the network is and gives what that gives: logits, or losses by name of a detector in training and
    boxes in evaluation. The first argument is the images, a tensor or a list of them; in evaluation the network must
    run on these alone.

    Raises BankwiseError where the plan is none, or not of this network.

    >>> from bankwise import plan
    >>> child = Child("tiny", plan("tiny", "900B").plan)
    >>> child(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    @typed_arguments("seed", "batches")
    def __init__(self, network: str | nn.Module, plan: Plan, *, seed: int = 0, batches: int = 10):
        super().__init__()
        if not isinstance(network, str | nn.Module):
            raise BankwiseError(f"network {short(network)}: expected a name or an nn.Module")
        if not isinstance(plan, Plan):
            raise BankwiseError(f"plan of type {type(plan).__name__}: expected a Plan, as bankwise.plan(...).plan is")
        in_range(0, batches=batches)
        reference = network if isinstance(network, str) else IN_MEMORY
        if isinstance(network, str):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = build(network, classes=plan.classes, in_channels=plan.input_shape[0])
        else:
            plan = dataclasses.replace(plan, network=IN_MEMORY)
        self.plan = plan
        self.shape = trace(network, reference, plan.input_shape, plan.classes, plan.keep, any_output=True)
        plan.check(self.shape)
        teacher = copy.deepcopy(network).cpu()
        self.network = build_child(teacher, self.shape, plan, seed, teacher).requires_grad_(True)
        self._latest: deque[Images] = deque(maxlen=batches)
        self._seen: torch.Tensor | None = None  # the first images of the latest batch
        self._given = (teacher if reference == IN_MEMORY else None,)  # no submodule

    @property
    def module(self) -> nn.Module | None:
        """The module in memory that the child is of; None where its network has a name."""
        return self._given[0]

    def some_images(self) -> torch.Tensor:
        """Images that its network takes, on its device: the first of the latest batch, else a ramp."""
        if self._seen is not None:
            return self._seen
        return ramp(self.plan.input_shape, model_device(self))

    def forward(self, images: Images, *others: Any, **named: Any) -> Any:
        if self.training:
            self._latest.append(_each(images, torch.Tensor.detach))
            self._seen = images[:2].detach().clone() if isinstance(images, torch.Tensor) else None
        return self.network(images, *others, **named)

    def train(self, mode: bool = True) -> Child:
        """As of any module; at the end of a training the norms are estimated anew."""
        ends = self.training and not mode
        super().train(mode)
        if ends and self._latest:
            estimate_norms(self.network, self._latest)
            self._latest.clear()
        return self


@typed_arguments("model")
def recalibrate(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Estimate all batch norm statistics of `model` anew: their mean over the batches, each the images as the network
    takes them, or these and their labels, or a detector's targets, as a DataLoader gives them."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.eps == 0:
            raise BankwiseError(
                f"batch norm {name!r} was read back from a file, which holds what its statistics were folded into: "
                "recalibrate the network before it is packed"
            )
    device = model_device(model)
    if not isinstance(batches, Iterable):
        raise BankwiseError(f"batches: {short(batches)} does not give {_BATCHES}")
    estimate_norms(model, (_each(_images(batch), lambda one: one.to(device)) for batch in batches))


def _images(batch: object) -> Images:
    """The images of a batch, with or without labels."""
    images = batch[0] if isinstance(batch, list | tuple) and batch else batch
    listed = images if isinstance(images, list | tuple) else [images]
    if not all(isinstance(image, torch.Tensor) for image in listed):
        raise BankwiseError(f"batches: one of type {type(batch).__name__} is not {_BATCHES}")
    return images  # type: ignore[return-value]


def _each(images: Images, change: Callable[[torch.Tensor], torch.Tensor]) -> Images:
    """The images of a batch, each tensor changed."""
    return change(images) if isinstance(images, torch.Tensor) else [change(image) for image in images]


@typed_arguments("child")
def pack(child: Child) -> bytes:
    """The bytes of the child's file: as many as its plan's price says. Raises BankwiseError for weights that it cannot
    hold, where `bankwise.load` would refuse the bytes, or what it gives would have other logits than the child."""
    training = child.training
    child.eval()
    try:
        data = encode(child.shape, child.plan, pack_codes(child.network, child.shape, child.plan))
        decode(data, allow_code=True, network=child.module).network()
        check_packed(child.network, child.network, child.shape, child.plan, child.some_images(), child.module)
    finally:
        child.train(training)
    return data


@typed_arguments("child", "path")
def save(child: Child, path: str | Path) -> Path:
    """Write the child's file, which `bankwise.load(path)` reads back, with `network=` the module where the child is of
    one in memory. Raises BankwiseError as `pack` does, and then writes nothing."""
    written = Path(path)
    write_bytes(written, pack(child))
    return written
