"""The training loop: one for teachers, children and supernets, resumable to the bit."""

from __future__ import annotations

import dataclasses
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.outputs import logits_of
from bankwise.search_space.strides import sliced_strides
from bankwise.trainers.augment import Augmentation
from bankwise.trainers.averaging import TailMean
from bankwise.trainers.checkpoint import load_checkpoint, save_checkpoint
from bankwise.trainers.checksum import checksum
from bankwise.trainers.data import ImageData
from bankwise.trainers.data_sets.pixels import IN_MEMORY_BYTES
from bankwise.trainers.device import chosen_device
from bankwise.trainers.evaluate import kept_mode, measure_on, recalibrate
from bankwise.trainers.group import Group
from bankwise.trainers.layout import layout
from bankwise.trainers.loss import make_loss, training_loss
from bankwise.trainers.optimization import make_optimizer, make_schedule
from bankwise.trainers.precision import careful, in_bfloat16
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.threads import threads_for, torch_threads

RECALIBRATE = 10  # batches, where weights were averaged: statistics are of other weights


class Diverged(BankwiseError):
    """A training whose loss or weights are no numbers any more; by the same recipe and seed it would be so again."""


class StopTraining(Exception):
    """Raised by a report to end the training after that epoch; the network is kept as it is."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch, 1 to `epochs`: mean training loss, validation accuracy (0 to 1; what the recipe's metric
    is, where that is another one), wall-clock seconds."""

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
    """Train `model` in place on `device` (default: that of the recipe) and return the report of every epoch.

    With `checkpoint` the state is saved after every epoch, and a call with the same arguments resumes from there: on
    the CPU, with the same number of threads, with the same bits as without the interruption. A finished one returns at
    once. `settings` are JSON values that the network depends on beside the arguments, such as its budget; they are kept
    in the checkpoint and must be the same when it is read.
    `report` is called with each epoch before it is saved, so an interrupted epoch may be reported twice, never lost; it
    may raise StopTraining.
    A model may have `begin_step(progress)`, called before each step with the share of the training done, in [0, 1), and
    `extra_loss()`, a scalar added to the loss of each step. All random numbers are torch's, seeded by (recipe.seed,
    epoch); the caller's random state is unchanged.

    Every process of a `group` calls it with equal arguments and ends with the same network. A step is that of the
    whole batch, batch norm included. Process 0 validates, and reads and writes the
    checkpoint, which a group of another size may resume; every process reports, process 0's can end the training.

    Raises:
        BankwiseError: the recipe distills and there is no teacher; the batch is smaller than the group, or of one image
            where there is batch norm; the checkpoint
            cannot be read, or is of another recipe, data, network, teacher or other `settings`.
        Diverged: after an epoch whose loss is not finite or that leaves weights that are NaN; it is not reported.
    """
    if recipe.distill and teacher is None:
        raise BankwiseError(f"recipe distill is {recipe.distill}: give a teacher to learn from, or set it to 0")
    group = group or Group()
    group.check(recipe.batch)
    check_batch(model, data, recipe)
    device = chosen_device(recipe.device) if device is None else torch.device(device)
    networks = nn.ModuleList([model, teacher] if recipe.distill and teacher is not None else [model]).to(device)
    in_layout = layout(networks, recipe.channels_last)
    threads = threads_for(model, data, recipe, recipe.batch // group.size, device)
    with torch_threads(threads), kept_mode(networks), in_layout, sliced_strides(networks):
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


def check_batch(model: nn.Module, data: ImageData, recipe: Recipe) -> None:
    """BankwiseError where batch norm would have to train on single images, whose variance is none."""
    if min(recipe.batch, len(data.train_y)) == 1:
        for name, module in model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                raise BankwiseError(
                    f"batches of 1 image: batch norm {name!r} cannot train on them; it needs a batch of at least 2 "
                    "and as many training images"
                )


def optimizer_steps(data: ImageData, recipe: Recipe) -> int:
    """The optimizer steps of a training by one process."""
    return recipe.epochs * len(_batches(torch.arange(len(data.train_y)), recipe.batch, Group().least))


def _saved(checkpoint: Path, settings: Mapping[str, object] | None, group: Group) -> dict[str, Any] | None:
    """The state that process 0 reads from `checkpoint`, in every process; an error there is an error in all."""
    found: dict[str, Any] | None = None
    error: BankwiseError | None = None
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
        small = data.train_x.nbytes <= IN_MEMORY_BYTES  # larger ones stay where they are, and go over batch by batch
        self.pixels = data.train_x.to(device) if small else data.train_x
        self.labels = data.train_y.to(device)
        self.steps = len(_batches(torch.arange(len(data.train_y)), recipe.batch, group.least))
        self.optimizer = make_optimizer(model, recipe)
        self.schedule = make_schedule(self.optimizer, recipe, recipe.epochs * self.steps)
        self.loss = make_loss(recipe, data)
        self.history: list[EpochReport] = []
        self.amp = in_bfloat16(recipe.amp, device)
        on_cpu = self.amp and device.type == "cpu"
        self.care = careful(model, data.to_input(self.pixels[:1])) if on_cpu else nullcontext()
        self.mean = TailMean(model, recipe.average, recipe.epochs * self.steps) if recipe.average else None

    def epoch(self) -> None:
        """Train one epoch and validate."""
        number, start = len(self.history), time.perf_counter()
        draws = torch.Generator().manual_seed(_seed(self.recipe.seed, number, 0))
        count = len(self.labels)
        order = torch.randperm(count, generator=draws).to(self.device)
        augmentation = self._augmentation(number, draws) if self.recipe.augment else None
        total = torch.zeros((), device=self.device)
        seen = 0
        with _own_random_state(self.recipe.seed, number, 1 + self.group.rank, self.device):
            self.model.train()
            with self.group.synced():
                for step, batch in enumerate(_batches(order, self.recipe.batch, self.group.least)):
                    self._begin(number * self.steps + step)
                    indices = self.group.share(batch)
                    pixels = self.pixels.index_select(0, indices.to(self.pixels.device)).to(self.device)
                    if augmentation is not None:
                        pixels = augmentation.apply(pixels, indices)
                    total += self._step(pixels, self.labels[indices], self.group.weight(batch)) * len(indices)
                    seen += len(batch)
                    if self.mean is not None:
                        self.mean.add(number * self.steps + step)
            batches = self.recipe.recalibrate
            if self.mean is not None and number + 1 == self.recipe.epochs:
                self.mean.give()
                batches = batches or RECALIBRATE
            if batches:
                recalibrate(self.model, self.pixels, batches=batches, normalization=self.data.normalization)
            self.group.average_buffers(self.model)
            validation = 0.0
            if self.group.leads:
                validation = measure_on(self.model, self.data, self.recipe.metric, amp=self.amp)
        total, validation = self.group.total(total), self.group.of_leader(validation)
        loss, seconds = float(total) / seen, time.perf_counter() - start
        self._check(number + 1, loss, validation)
        self.history.append(EpochReport(number + 1, self.recipe.epochs, loss, validation, seconds))

    def _augmentation(self, epoch: int, draws: torch.Generator) -> Augmentation:
        """What becomes of each image in an epoch, counted from 0."""
        recipe, data = self.recipe, self.data
        drawn = Augmentation.draw(len(self.labels), recipe.crop(data.crop), data.flip, draws, self.device)
        alternates = recipe.flips == "alternating" and data.flip
        return drawn.alternating(_seed(recipe.seed, 0, _ALTERNATING), epoch) if alternates else drawn

    def _check(self, epoch: int, loss: float, validation: float) -> None:
        """Every process of a group has the same loss and the same weights: all of them raise, or none."""
        if not math.isfinite(loss):
            what = f"the loss is {loss}"
        elif any(torch.isnan(parameter).any() for parameter in self.model.parameters()):  # a supernet masks by -inf
            what = "weights are NaN"
        elif any(buffer.is_floating_point() and torch.isnan(buffer).any() for buffer in self.model.buffers()):
            what = "batch norm statistics are NaN"
        elif math.isnan(validation):
            what = f"the outputs are no numbers, nor is the metric {self.recipe.metric},"
        else:
            return
        raise Diverged(f"the training diverged: {what} in epoch {epoch} at lr {self.recipe.lr:g}; try a smaller lr")

    def _begin(self, step: int) -> None:
        """Give the network the share of the training done; `step` counts over all epochs."""
        if begin_step := getattr(self.model, "begin_step", None):
            begin_step(step / (self.recipe.epochs * self.steps))

    def _step(self, pixels: torch.Tensor, labels: torch.Tensor, weight: float) -> torch.Tensor:
        """One optimizer step; the loss before it, still on the device. `weight`: the group's `Group.weight`."""
        images = self.data.to_input(pixels)
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.amp), self.care:
            logits = logits_of(self.parallel(images))
            assert logits is not None  # the rehearsal saw them
            loss = training_loss(logits.float(), labels, self.recipe, images, self.teacher, self.loss)
            if extra_loss := getattr(self.model, "extra_loss", None):
                loss = loss + extra_loss()
        self.optimizer.zero_grad(set_to_none=True)
        (weight * loss).backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def settings(self) -> dict[str, object]:
        """What the trained weights depend on besides the initial ones; not threads and device, which change rounding
        only."""
        data, recipe = self.data, self.recipe.to_dict()
        del recipe["threads"], recipe["device"]
        shapes = [(name, tuple(tensor.shape)) for name, tensor in _tensors(self.model)]
        return {
            **recipe,
            "data": data.name,
            "training images": len(data.train_y),
            "pixels and labels": checksum([data.train_x, data.train_y, data.val_x, data.val_y]),
            "crop": data.crop,
            "flip": data.flip,
            "normalization": data.normalization,
            "network": zlib.crc32(repr(shapes).encode()),
            "teacher": None if self.teacher is None else checksum([tensor for _, tensor in _tensors(self.teacher)]),
        }

    def state(self, stopped: bool) -> dict[str, object]:
        """What a resumed training needs; random states follow from the seed and the epoch."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": [dataclasses.asdict(report) for report in self.history],
            "stopped": stopped,
            "mean": None if self.mean is None else self.mean.state(),
        }

    def load(self, state: dict[str, Any]) -> bool:
        """Resume from `state`; true where a report had ended that training."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = [EpochReport(**report) for report in state["history"]]
        if self.mean is not None:
            self.mean.begin(**state["mean"])
        self._begin(len(self.history) * self.steps - 1)  # the network's state of its last step
        return bool(state["stopped"])


def _batches(order: torch.Tensor, size: int, least: int) -> list[torch.Tensor]:
    """`order` (images,) in batches of `size`; a last one of fewer than `least` images is left out."""
    batches: list[torch.Tensor] = list(order.split(size))
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) < min(least, size) else batches


def _tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


_ALTERNATING = 2**32 - 1  # above every 1 + rank


def _seed(seed: int, epoch: int, stream: int) -> int:
    """Independent seeds: stream 0 draws batches and augmentation, stream 1 + rank what the network draws itself, stream
    _ALTERNATING which images are mirrored first."""
    return int(np.random.SeedSequence((seed, epoch, stream)).generate_state(1, np.uint64)[0])


@contextmanager
def _own_random_state(seed: int, epoch: int, stream: int, device: torch.device) -> Iterator[None]:
    """Torch's random state, seeded for one epoch; the caller's is restored at the end."""
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(range(torch.cuda.device_count()) if on_cuda else []):
        torch.default_generator.manual_seed(_seed(seed, epoch, stream))
        if on_cuda:
            torch.cuda.manual_seed_all(_seed(seed, epoch, stream))
        yield
