"""What a network measures: bytes, and accuracies over the seeds on the validation and test sets."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bankwise.search_space import strict
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.price import Price
from bankwise.search_space.targets.file.container import read
from bankwise.trainers.evaluate import measure_on, outputs_on
from bankwise.trainers.labels import CLASSES
from bankwise.trainers.loop import Diverged
from bankwise.trainers.metric import find_metric
from bankwise.trainers.task import Task

MOST_CONFUSED = 100  # classes of a confusion matrix that a summary holds
DIVERGED = "diverged"  # of a training's result: why it has no other


@dataclass(frozen=True)
class Sample:
    """Accuracies, 0 to 1, or what else the metric is, one a seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation; one seed has none."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Measured:
    """A network's bytes and its accuracies on the validation and the test set, None where it was not trained.
    `paper_bits` is None for the uncompressed network, `diverged` maps the number of each seed that did to why."""

    bytes: int
    paper_bits: int | None = None
    validation: Sample | None = None
    test: Sample | None = None
    diverged: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def accuracy(self) -> float | None:
        """Mean on the validation set."""
        return None if self.validation is None else self.validation.mean

    @property
    def test_accuracy(self) -> float | None:
        """Mean on the test set."""
        return None if self.test is None else self.test.mean

    def statistics(self) -> dict[str, object]:
        """The accuracies, JSON-ready."""
        found: dict[str, object] = {}
        for name, plural, sample in (
            ("accuracy", "accuracies", self.validation),
            ("test_accuracy", "test_accuracies", self.test),
        ):
            found[name] = sample and sample.mean
            if sample is not None:
                found |= {f"{name}_spread": sample.spread, plural: list(sample.values)}
        return found | ({DIVERGED: dict(self.diverged)} if self.diverged else {})

    def to_dict(self) -> dict[str, object]:
        paper = {} if self.paper_bits is None else {"paper_bits": self.paper_bits}
        return {**self.statistics(), "bytes": self.bytes, **paper}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measured:
        """From the values of `to_dict`, which may have further keys. Raises BankwiseError for others."""
        stored = strict.read_known(_Stored, values, "measured network")
        validation, test = (
            None if mean is None else Sample(each)
            for mean, each in ((stored.accuracy, stored.accuracies), (stored.test_accuracy, stored.test_accuracies))
        )
        return cls(stored.bytes, stored.paper_bits, validation, test, stored.diverged)


@dataclass(frozen=True)
class _Stored:
    """A measured network as files hold it."""

    bytes: int
    accuracy: float | None
    test_accuracy: float | None
    paper_bits: int | None = None
    accuracies: tuple[float, ...] = ()
    test_accuracies: tuple[float, ...] = ()
    diverged: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for mean, each in ((self.accuracy, self.accuracies), (self.test_accuracy, self.test_accuracies)):
            if mean is not None and not each:
                raise BankwiseError(f"the mean accuracy {mean:g} is of no training")


def confusion(task: Task, file: Path) -> tuple[tuple[int, ...], ...] | None:
    """How many test images of each class (row) the file, read back, finds to be of each (column); None where labels are
    no classes, or there are more than MOST_CONFUSED."""
    classes = task.data.classes
    if task.data.kind != CLASSES or classes > MOST_CONFUSED:
        return None
    network = read(file, allow_code=True, network=task.module).network()
    outputs, labels = outputs_on(network, task.data, "test")
    counts = torch.bincount(labels * classes + outputs.argmax(1), minlength=classes * classes)
    return tuple(map(tuple, counts.reshape(classes, classes).tolist()))


def metric_of(task: Task) -> str:
    """The name of what the task's networks are measured by."""
    return find_metric(task.recipe.metric, task.data.kind).name


def trained(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The trainings that did not diverge."""
    return [result for result in results if DIVERGED not in result]


def check_some(what: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Raises Diverged, with the reason of the first, where all trainings of `what` diverged."""
    if not trained(results):
        first = results[0][DIVERGED]
        raise Diverged(f"all {len(results)} trainings of {what} diverged, the first: {first}, in another folder")


def measure_files(task: Task, cost: Price, results: Sequence[Mapping[str, Any]]) -> Measured:
    """Read every seed's file back and measure it on the test set."""
    files = [Path(result["model"]) for result in trained(results)]
    networks = [read(file, allow_code=True, network=task.module).network() for file in files]
    return _measured(task, networks, results, cost.file_bytes, cost.paper_bits)


def measure_networks(task: Task, results: Sequence[Mapping[str, Any]]) -> Measured:
    """Measure the float networks on the test set."""
    networks = [result["network"] for result in trained(results)]
    return _measured(task, networks, results, task.shape.float_bytes, None)


def _measured(
    task: Task, networks: Sequence[nn.Module], results: Sequence[Mapping[str, Any]], size: int, paper_bits: int | None
) -> Measured:
    validation = tuple(result["accuracy"] for result in trained(results))
    test = tuple(measure_on(network, task.data, task.recipe.metric, "test") for network in networks)
    why = {str(seed): result[DIVERGED] for seed, result in enumerate(results) if DIVERGED in result}
    return Measured(size, paper_bits, Sample(validation), Sample(test), why)
