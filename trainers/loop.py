"""The training loop: one for teachers, children and supernets, resumable to the bit."""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from search_space.errors import BankwiseError
from search_space.strides import sliced_strides
from trainers.augment import Augmentation
from trainers.checkpoint import load_checkpoint, save_checkpoint
from trainers.data import ImageData, to_input
from trainers.evaluate import accuracy, kept_mode, recalibrate
from trainers.group import Group
from trainers.optimization import make_optimizer, make_schedule
from trainers.recipe import Recipe


class StopTraining(Exception):
    """Raised by a report to end the training after that epoch; the network is kept as it is."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch, 1 to `epochs`: mean training loss, validation accuracy (0 to 1), seconds."""

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    seconds: float


def train(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    report: Callable[[EpochReport], None] | None = None,
    device: torch.device | str | None = None,
    settings: Mapping[str, object] | None = None,
    group: Group | None = None,
) -> list[EpochReport]:
    """Train `model` in place on `device` (default: CUDA where there is one) and return the report of every epoch.

    With `checkpoint` the state is saved after every epoch, and a call with the same arguments goes on from there: on
    the CPU, with the same number of threads, to the bits of an uninterrupted training. A finished one returns at once.
    A checkpoint of another recipe, data, network or teacher is an error, as is one of other `settings`: JSON
    values that say what else the network was made from, such as its budget.
    `report` sees each epoch before it is saved, so an interrupted epoch may be reported twice, never lost.
    A model may have `begin_step(progress)`, called before each step with the share of the training done, in [0, 1), and
    `extra_loss()`, a scalar added to the loss of each step. All random numbers are torch's, seeded by (recipe.seed,
    epoch); the caller's random state is left alone.

    Every process of a `group` calls it with equal arguments and ends with the same network. A step is that of the
    whole batch, but for batch norm, which sees a process's own images. Process 0 validates, and reads and writes the
    checkpoint, which a group of another size may go on from; every process reports, process 0's can end the training.
    """
    if recipe.distill and teacher is None:
        raise BankwiseError(f"recipe distill is {recipe.distill}: give a teacher to learn from, or set it to 0")
    group = group or Group()
    group.check(recipe.batch)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    networks = nn.ModuleList([model, teacher] if recipe.distill else [model]).to(device)
    layout = _layout(networks, recipe.channels_last)
    with _threads(recipe.threads), kept_mode(networks), layout, sliced_strides(networks):
        run = _Run(model, data, recipe, teacher if recipe.distill else None, device, group)
        if checkpoint is not None and group.leads:
            settings = {**(settings or {}), **run.settings()}
        stopped = False
        if checkpoint is not None and (saved := _saved(checkpoint, settings, group)) is not None:
            stopped = run.load(saved)
        while not stopped and len(run.history) < recipe.epochs:
            run.epoch()
            try:
                if report is not None:
                    report(run.history[-1])
            except StopTraining:
                stopped = True
            stopped = group.of_leader(stopped)
            if checkpoint is not None and group.leads:
                save_checkpoint(checkpoint, run.state(stopped), settings)
        return run.history


def _saved(checkpoint: Path, settings: Mapping[str, object] | None, group: Group) -> dict[str, object] | None:
    """What process 0 finds at `checkpoint`, in every process; an error there is an error everywhere."""
    found, error = None, None
    if group.leads and checkpoint.exists():
        try:
            found = load_checkpoint(checkpoint, settings)
        except BankwiseError as problem:
            error = problem
    found, error = group.of_leader((found, error))
    if error is not None:
        raise error
    return found


class _Run:
    """A training under way."""

    def __init__(
        self,
        model: nn.Module,
        data: ImageData,
        recipe: Recipe,
        teacher: nn.Module | None,
        device: torch.device,
        group: Group,
    ) -> None:
        self.group, self.parallel = group, group.wrap(model, device)
        self.model, self.data, self.recipe, self.device = model, data, recipe, device
        self.teacher = teacher.eval() if teacher is not None else None
        self.pixels, self.labels = data.train_x.to(device), data.train_y.to(device)
        self.steps = len(_batches(torch.arange(len(data.train_y)), recipe.batch, group.least))
        self.optimizer = make_optimizer(model, recipe)
        self.schedule = make_schedule(self.optimizer, recipe, recipe.epochs * self.steps)
        self.history: list[EpochReport] = []
        self.amp = recipe.amp == "on" or (recipe.amp == "auto" and device.type == "cuda")

    def epoch(self) -> None:
        """Train one epoch and validate."""
        number, start = len(self.history), time.perf_counter()
        draws = torch.Generator().manual_seed(_seed(self.recipe.seed, number, 0))
        count = len(self.labels)
        order = torch.randperm(count, generator=draws).to(self.device)
        augmentation = None
        if self.recipe.augment:
            augmentation = Augmentation.draw(count, self.data.crop, self.data.flip, draws, self.device)
        total = torch.zeros((), device=self.device)
        seen = 0
        with _own_random_state(self.recipe.seed, number, 1 + self.group.rank, self.device):
            self.model.train()
            for step, batch in enumerate(_batches(order, self.recipe.batch, self.group.least)):
                self._begin(number * self.steps + step)
                indices = self.group.share(batch)
                pixels = self.pixels[indices]
                if augmentation is not None:
                    pixels = augmentation.apply(pixels, indices)
                total += self._step(pixels, self.labels[indices], self.group.weight(batch)) * len(indices)
                seen += len(batch)
            if self.recipe.recalibrate:
                recalibrate(self.model, self.pixels, batches=self.recipe.recalibrate)
            self.group.average_buffers(self.model)
            right = accuracy(self.model, self.data.val_x, self.data.val_y) if self.group.leads else 0.0
        total, right = self.group.total(total), self.group.of_leader(right)
        seconds = time.perf_counter() - start
        self.history.append(EpochReport(number + 1, self.recipe.epochs, float(total) / seen, right, seconds))

    def _begin(self, step: int) -> None:
        """Tell the network how far the training is; `step` counts over all epochs."""
        if hasattr(self.model, "begin_step"):
            self.model.begin_step(step / (self.recipe.epochs * self.steps))

    def _step(self, pixels: torch.Tensor, labels: torch.Tensor, weight: float) -> torch.Tensor:
        """One optimizer step; the loss before it, still on the device. `weight`: the group's `Group.weight`."""
        images = to_input(pixels)
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.amp):
            logits = self.parallel(images)
            loss = self._loss(images, logits.float(), labels)
            if hasattr(self.model, "extra_loss"):
                loss = loss + self.model.extra_loss()
        self.optimizer.zero_grad(set_to_none=True)
        (weight * loss).backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def _loss(self, images: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(1 - d) CE(labels) + d T^2 KL(teacher || student) at temperature T (Hinton et al. 2015, section 2)."""
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        if self.teacher is None:
            return loss
        share, heat = self.recipe.distill, self.recipe.temperature
        with torch.no_grad():
            taught = functional.log_softmax(self.teacher(images).float() / heat, 1)
        student = functional.log_softmax(logits / heat, 1)
        distance = functional.kl_div(student, taught, reduction="batchmean", log_target=True)
        return (1 - share) * loss + share * heat**2 * distance

    def settings(self) -> dict[str, object]:
        """What the weights at the end depend on, besides the initial ones. Threads may change: to rounding only."""
        data, recipe = self.data, self.recipe.to_dict()
        del recipe["threads"]
        shapes = [(name, tuple(tensor.shape)) for name, tensor in _tensors(self.model)]
        return {
            **recipe,
            "data": data.name,
            "training images": len(data.train_y),
            "pixels and labels": _checksum([data.train_x, data.train_y, data.val_x, data.val_y]),
            "crop": data.crop,
            "flip": data.flip,
            "network": zlib.crc32(repr(shapes).encode()),
            "teacher": None if self.teacher is None else _checksum([tensor for _, tensor in _tensors(self.teacher)]),
        }

    def state(self, stopped: bool) -> dict[str, object]:
        """All that a resumed training needs; random states follow from the seed and the epoch."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": [dataclasses.asdict(report) for report in self.history],
            "stopped": stopped,
        }

    def load(self, state: dict[str, object]) -> bool:
        """Go on from `state`; true where a report had ended that training."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = [EpochReport(**report) for report in state["history"]]
        self._begin(len(self.history) * self.steps - 1)  # what the network keeps of its last step
        return state["stopped"]


def _batches(order: torch.Tensor, size: int, least: int) -> list[torch.Tensor]:
    """`order` in batches. A rest of fewer than `least` images is left out."""
    batches = list(order.split(size))
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) < min(least, size) else batches


def _checksum(tensors: list[torch.Tensor]) -> int:
    checksum = 0
    for tensor in tensors:
        checksum = zlib.crc32(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy(), checksum)
    return checksum


def _tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _seed(seed: int, epoch: int, stream: int) -> int:
    """Independent seeds: stream 0 draws batches and augmentation, stream 1 + rank what the network draws itself."""
    return int(np.random.SeedSequence((seed, epoch, stream)).generate_state(1, np.uint64)[0])


@contextmanager
def _own_random_state(seed: int, epoch: int, stream: int, device: torch.device) -> Iterator[None]:
    """Torch's random state, seeded for one epoch; the caller's comes back at the end."""
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(range(torch.cuda.device_count()) if on_cuda else []):
        torch.random.default_generator.manual_seed(_seed(seed, epoch, stream))
        if on_cuda:
            torch.cuda.manual_seed_all(_seed(seed, epoch, stream))
        yield


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _layout(model: nn.Module, channels_last: bool) -> Iterator[None]:
    """Convolution weights in the layout of the maps; back at the end, since the last bits of logits depend on it."""
    if channels_last:
        nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last)
    try:
        yield
    finally:
        if channels_last:
            nn.utils.convert_conv2d_weight_memory_format(model, torch.contiguous_format)
