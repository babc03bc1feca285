"""What a search is about: a network, the data, how to train, and the trained uncompressed network to learn from."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import torch
from torch import nn

from bankwise.search_space import strict
from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.images import ramp
from bankwise.search_space.networks import IN_MEMORY, build_or_copy, names_code
from bankwise.search_space.normalization import NORMALIZATIONS, SYMMETRIC
from bankwise.search_space.outputs import logits_of
from bankwise.search_space.ranges import in_range
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.state import shift
from bankwise.search_space.trace import shape_of
from bankwise.trainers.data import ImageData, check_share, load_data
from bankwise.trainers.identity import differences
from bankwise.trainers.labels import CLASSES
from bankwise.trainers.loop import EpochReport, check_batch, train
from bankwise.trainers.loss import make_loss
from bankwise.trainers.metric import find_metric
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.start import start

Report = Callable[[EpochReport], None]


@dataclass(frozen=True)
class Task:
    """`network` is untrained; `teacher` (or None) has the same architecture, trained, in floating point."""

    network: nn.Module
    shape: NetworkShape
    data: ImageData
    recipe: Recipe
    teacher: nn.Module | None = None

    @property
    def module(self) -> nn.Module | None:
        """The network where it was given as a module, which no reference builds again; else None."""
        return self.network if self.shape.network == IN_MEMORY else None

    def identity(self) -> dict[str, object]:
        """What tells this network and these images from others, JSON-ready: `ImageData.identity`, and of a user's own
        network ten of its logits for a fixed image, with the weights that it begins with, of a loss and a metric of a
        user's own what they give for fixed outputs and labels."""
        own = names_code(self.shape.network) or self.module is not None
        return {
            **self.data.identity(),
            "network_output": _fingerprint(self) if own else None,
            "loss_output": _loss_value(self) if ":" in self.recipe.loss else None,
            "metric_output": _metric_value(self) if ":" in self.recipe.metric else None,
        }

    def check(self, identity: Mapping[str, object]) -> None:
        """BankwiseError, naming what has changed, unless `identity` is this task's."""
        wrong = list(differences(identity, json.loads(json.dumps(self.identity()))))
        if wrong:
            raise BankwiseError(
                f"the images or the network are others than were recorded ({', '.join(wrong[:4])}); restore them, or "
                "begin anew in another folder"
            )


def _fingerprint(task: Task) -> list[float]:
    network = copy.deepcopy(task.network).cpu().eval()
    shift(network)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        logits = logits_of(network(ramp(task.data.input_shape)))
    assert logits is not None  # it was traced
    return [float(f"{value:.6g}") for value in logits.flatten()[:10].tolist()]


def _loss_value(task: Task) -> float:
    return float(f"{float(make_loss(task.recipe, task.data)(*_outputs_and_labels(task.data))):.6g}")


def _metric_value(task: Task) -> float:
    return float(f"{find_metric(task.recipe.metric, task.data.kind)(*_outputs_and_labels(task.data)):.6g}")


def _outputs_and_labels(data: ImageData) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for all data of as many classes."""
    numbers = torch.arange(2 * data.classes * data.classes).reshape(-1, data.classes)
    outputs = torch.sin(numbers.float())
    if data.kind == CLASSES:
        return outputs, torch.arange(len(outputs)) % data.classes
    return outputs, (numbers % 3 == 0).to(data.train_y.dtype)


def make_task(
    reference: str, data: ImageData, recipe: Recipe, keep: tuple[str, ...] = (), network: nn.Module | None = None
) -> Task:
    """Build and trace the network for the data's image size and classes, with weights of the recipe's seed and `start`.

    `network` is a module in memory, which is copied with the weights that it has; `reference` is then IN_MEMORY.
    Raises BankwiseError where it cannot be traced, or not be trained in the recipe's batches.
    """
    shape = shape_of(reference, data.input_shape, data.classes, keep, module=network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        made = build_or_copy(reference, network, classes=data.classes, in_channels=data.input_shape[0])
    check_batch(made, data, recipe)
    start(made, shape, data, recipe)
    return Task(made, shape, data, recipe)


def train_uncompressed(
    task: Task, recipe: Recipe, checkpoint: Path | None = None, report: Report | None = None
) -> list[EpochReport]:
    """Train `task.network` itself in floating point; it can then be the teacher."""
    return train(task.network, task.data, recipe, checkpoint=checkpoint, report=report)


@dataclass(frozen=True)
class TaskSource:
    """The data description: what network is trained on which images. Plain values, built once and passed whole, so that
    another process with access to the same data makes the same task.

    `network` is a reference (`search_space.networks`), `data` a data set's name below `data_root`; `limit`,
    `validation`, `image_size`, `normalization` and `flip` are those of `trainers.data.load_data`, `keep` those of
    `search_space.trace.trace`. `network` and `data` may be IN_MEMORY: then this only describes what was given.
    """

    network: str
    data: str
    _: KW_ONLY
    data_root: str | None = None
    limit: int | None = None
    validation: float | None = None
    keep: tuple[str, ...] = ()
    image_size: int | None = None
    normalization: str = SYMMETRIC
    flip: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.data_root, Path):
            object.__setattr__(self, "data_root", str(self.data_root))
        strict.check_types(self, "data description")
        in_range(1, limit=self.limit)
        check_share(self.validation)
        if self.normalization not in NORMALIZATIONS:
            raise unknown("normalization", self.normalization, NORMALIZATIONS)

    @property
    def named_code(self) -> tuple[str, ...]:
        """The references that may be code of the user's own."""
        return self.network, ":".join(self.data.split(":")[:2])

    def load(self, only: str | None = None) -> ImageData:
        """The images; with `only` those of one split (`load_data`). Raises BankwiseError where they cannot be read."""
        return load_data(
            self.data,
            root=self.data_root,
            limit=self.limit,
            validation=self.validation,
            image_size=self.image_size,
            normalization=self.normalization,
            flip=self.flip,
            only=only,
        )

    def make(self, recipe: Recipe, teacher: Path | None = None, identity: Mapping[str, object] | None = None) -> Task:
        """The task; with `teacher`, the checkpoint of the uncompressed network's training, that network too.

        A training that is not there or not through is run to its end first. `identity` is that of the task as it was
        recorded. Raises BankwiseError where this is another, or cannot be made.
        """
        task = make_task(self.network, self.load(), recipe, self.keep)
        if identity is not None:
            task.check(identity)
        if teacher is None:
            return task
        uncompressed = copy.deepcopy(task.network)
        source = dataclasses.replace(task, network=uncompressed)
        train_uncompressed(source, dataclasses.replace(recipe, distill=0.0), teacher)
        return dataclasses.replace(task, teacher=uncompressed.cpu().eval().requires_grad_(False))

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        values: dict[str, object] = strict.to_dict(self)
        return values

    @classmethod
    def from_dict(cls, values: object) -> TaskSource:
        """The description from the values of `to_dict`.

        Raises:
            BankwiseError: a foreign or missing key, or a value that it cannot have.
        """
        return strict.read(cls, values, "data description")
