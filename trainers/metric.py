"""What a search maximizes: a number for the outputs of a network and the labels, the higher the better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.imports import error_line, import_object
from bankwise.trainers.labels import CLASSES, LABELS, VALUES

AUTO = "auto"
Function = Callable[[torch.Tensor, torch.Tensor], object]


def accuracy(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """The share, 0 to 1, of images whose largest output (N, classes) is that of their label (N,)."""
    return int((outputs.argmax(1) == labels).sum()) / len(labels)


def top_5(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of images whose label (N,) is among the five largest outputs (N, classes)."""
    five = outputs.topk(min(5, outputs.shape[1]), 1).indices
    return int((five == labels[:, None]).any(1).sum()) / len(labels)


def macro_f1(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean over the classes of F1 = 2 TP / (2 TP + FP + FN), 0 for one that is neither there nor found.

    Labels (N,) are classes, found is the largest output; of labels (N, labels) in {0, 1} found are those whose output
    is above 0.
    """
    if labels.ndim == 1:
        classes = torch.arange(outputs.shape[1])
        there, found = labels[:, None] == classes, outputs.argmax(1)[:, None] == classes
    else:
        there, found = labels > 0, outputs > 0
    right = (there & found).sum(0).double()
    wrong = (there ^ found).sum(0)
    return float((2 * right / (2 * right + wrong).clamp(min=1)).mean())


def r2(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """The coefficient of determination 1 - SS_residual / SS_total, the mean over the values (N, values): 1 is perfect,
    0 as good as the mean. A value that all images share counts as 0."""
    residual = (outputs.double() - labels).square().sum(0)
    total = (labels.double() - labels.double().mean(0)).square().sum(0)
    return float(torch.where(total > 0, 1 - residual / total.clamp(min=1e-300), torch.zeros_like(total)).mean())


METRICS: dict[str, tuple[Function, tuple[str, ...]]] = {  # and the kinds of labels that each is for
    "accuracy": (accuracy, (CLASSES,)),
    "macro-f1": (macro_f1, (CLASSES, LABELS)),
    "top-5": (top_5, (CLASSES,)),
    "r2": (r2, (VALUES,)),
}
USUAL = {CLASSES: "accuracy", LABELS: "macro-f1", VALUES: "r2"}
BEST = 1.0  # of every metric here
SHARES = ("accuracy", "macro-f1", "top-5")  # 0 to 1, shown in percent


def possible(value: float, metric: str) -> bool:
    """Whether the metric may have that value; one of a user's own any finite one, `auto` that of any usual metric.

    >>> [possible(0.9, "auto"), possible(93, "auto"), possible(-1, "r2"), possible(-1, "accuracy")]
    [True, False, True, False]
    """
    least = 0.0 if metric in SHARES else -math.inf
    return math.isfinite(value) and least <= value <= (BEST if metric in (AUTO, *METRICS) else math.inf)


@dataclass(frozen=True)
class Metric:
    """Called with outputs float32 (N, outputs) and labels, both on the CPU."""

    name: str
    function: Function

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor) -> float:
        """NaN for outputs that are no numbers. Raises BankwiseError where a user's own gives anything but a number."""
        try:
            value = float(self.function(outputs, labels))  # type: ignore[arg-type]
        except BankwiseError:
            raise
        except Exception as error:  # whatever a user's metric raises
            raise BankwiseError(f"metric {self.name!r} failed: {error_line(error)}") from error
        if math.isfinite(value):
            return value
        if bool(torch.isfinite(outputs).all()):
            raise BankwiseError(f"metric {self.name!r} gives {value}, must give a finite number")
        return math.nan


def find_metric(name: str, kind: str) -> Metric:
    """The metric called `name` for labels of that kind: AUTO, one of METRICS, or a user's own `module:Name`, a function
    of outputs and labels or a class of such, which is made without arguments.

    Raises BankwiseError where there is none, or it is for other labels.
    """
    if name == AUTO:
        name = USUAL[kind]
    if ":" in name:
        return Metric(name, users_function("metric", name))
    check_metric(name)
    function, kinds = METRICS[name]
    if kind not in kinds:
        fitting = ", ".join(one for one, (_, those) in METRICS.items() if kind in those)
        raise BankwiseError(f"metric {name!r} is for labels that are {' or '.join(kinds)}, not {kind}: use {fitting}")
    return Metric(name, function)


def check_metric(name: str) -> None:
    """Raises BankwiseError unless `name` can be a metric."""
    if name not in (AUTO, *METRICS) and ":" not in name:
        raise unknown("metric", name, [AUTO, *METRICS, "module:Name"])


def users_function(kind: str, reference: str) -> Function:
    """What `reference` names, called with outputs and labels. Raises BankwiseError where it cannot be."""
    found = import_object(kind, reference, "function or class", "module:Name")
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # whatever a user's class raises
            raise BankwiseError(f"{kind} {reference!r} cannot be made: {error_line(error)}") from error
    if not callable(found):
        raise BankwiseError(f"{kind} {reference!r} is not a function of outputs and labels, nor a class of such")
    return found
