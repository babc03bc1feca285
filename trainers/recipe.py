"""The training recipe: every number of a training run, as plain JSON."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from bankwise.search_space.errors import BankwiseError, short, unknown
from bankwise.search_space.imports import reference_of
from bankwise.search_space.ranges import COUNT
from bankwise.search_space.strict import read
from bankwise.trainers.device import AUTO
from bankwise.trainers.metric import check_metric

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("one-cycle", "cosine")
AMP = ("auto", "on", "off")
LOSSES = ("cross-entropy", "bce", "mse")  # binary cross-entropy of each label, mean squared error
FLIPS = ("random", "alternating")
STARTS = ("random", "dirac")
SHIFT = 1024  # the most pixels
THREADS = 1024  # the most: with many more the process dies when torch starts them
SEED = 2**63 - 1  # the largest of a single training


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    `lr` is the peak learning rate (SGD wants about 0.1); `distill` the share of the teacher's term in the loss and
    `temperature` that of its softmax (Hinton et al. 2015); `amp` bfloat16 autocast, `auto`: where the device has it
    (`trainers.precision`); `threads` the CPU threads of torch, None: as many as its batches
    keep busy (`trainers.threads`); `device` that of torch (`trainers.device`). `recalibrate` is the number of
    batches of 200 training images by which batch norm statistics are estimated anew at the end of every epoch: the
    running ones lag behind weights whose signs flip.

    `loss` and `metric` are names (LOSSES, `trainers.metric.METRICS`), `auto` as the labels want, or a
    user's own as `module:Name`, a function of outputs (N, outputs) and labels; a function is taken as well, and kept by
    its name. `class_weights`: "balanced", or a number for each class, as text "1,2,0.5" or a sequence.

    Parts of fast trainings (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", arXiv 2404.00498): `flips` "alternating"
    mirrors each image every other epoch instead of at random; `shift` is how many pixels random crops move an image at
    most, where the data set allows as many (None: as it says); `start` "dirac" and `whiten` are how an uncompressed
    network begins (`trainers.start`); `average` is the share of the steps, the last ones, whose weights are averaged
    into those that the training ends with (`trainers.averaging`).
    """

    epochs: int = 10
    batch: int = 100
    optimizer: str = "adamw"
    lr: float = 4e-3
    weight_decay: float = 1e-4
    schedule: str = "one-cycle"
    label_smoothing: float = 0.0
    distill: float = 0.0
    temperature: float = 4.0
    augment: bool = True
    flips: str = "random"
    shift: int | None = None
    start: str = "random"
    whiten: bool = False
    average: float = 0.0
    recalibrate: int = 10
    amp: str = "auto"
    channels_last: bool = True
    seed: int = 0
    threads: int | None = None
    device: str = AUTO
    loss: str = AUTO
    metric: str = AUTO
    class_weights: str | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, COUNT),
            ("batch", 1, COUNT),
            ("seed", 0, SEED),
            ("recalibrate", 0, COUNT),
        ):
            self._integer(name, low, high)
        if self.threads is not None:
            self._integer("threads", 1, THREADS)
        if self.shift is not None:
            self._integer("shift", 0, SHIFT)
        for name, allowed in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("amp", AMP),
            ("flips", FLIPS),
            ("start", STARTS),
        ):
            if getattr(self, name) not in allowed:
                raise unknown(f"recipe {name}", getattr(self, name), allowed)
        if not isinstance(self.device, str) or not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", self.device):
            raise self._error("device", "auto, cpu, cuda, cuda:NUMBER or mps")
        for name in ("loss", "metric"):
            object.__setattr__(self, name, reference_of(name, getattr(self, name)))
        if self.loss not in (AUTO, *LOSSES) and ":" not in self.loss:
            raise unknown("loss", self.loss, [AUTO, *LOSSES, "module:Name"])
        check_metric(self.metric)
        object.__setattr__(self, "class_weights", _weights(self.class_weights))
        for name in ("augment", "channels_last", "whiten"):
            if not isinstance(getattr(self, name), bool):
                raise self._error(name, "true or false")
        for name in ("lr", "temperature"):
            self._number(name, lambda value: value > 0, "a number above 0")
        self._number("weight_decay", lambda value: value >= 0, "a number of at least 0")
        self._number("label_smoothing", lambda value: 0 <= value < 1, "a number from 0 to below 1")
        self._number("average", lambda value: 0 <= value <= 1, "a number from 0 to 1")
        self._number("distill", lambda value: 0 <= value <= 1, "a number from 0 to 1")

    def _number(self, name: str, right: Callable[[float], bool], allowed: str) -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not right(value):
            raise self._error(name, allowed)
        object.__setattr__(self, name, float(value))  # 1 and 1.0 are one recipe

    def _integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._error(name, f"an integer from {low} to {high:,}")

    def _error(self, name: str, allowed: str) -> BankwiseError:
        return BankwiseError(f"recipe {name} is {short(getattr(self, name))}: must be {allowed}")

    @property
    def named_code(self) -> tuple[str, ...]:
        """The references that are code of the user's own."""
        return tuple(name for name in (self.loss, self.metric) if ":" in name)

    def crop(self, most: int) -> int:
        """How many pixels random crops move images of a data set that allows `most`."""
        return most if self.shift is None else min(self.shift, most)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values; `from_dict` gives the recipe back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> Recipe:
        """A recipe from JSON values; fields left out take their defaults.

        Raises:
            BankwiseError: an unknown field or a value that it cannot have.

        >>> Recipe.from_dict({"epochs": 3, "lr": 0.01}).lr
        0.01
        """
        return read(cls, values, "recipe")


def _weights(given: object) -> str | None:
    """Class weights as text. Raises BankwiseError unless they are positive numbers, or "balanced"."""
    if given is None or given == "balanced":
        return given
    right = "balanced, or a number above 0 for each class, such as 1,2,0.5"
    try:
        parts = given.split(",") if isinstance(given, str) else list(given)  # type: ignore[call-overload]
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        raise BankwiseError(f"recipe class_weights is {short(given)}: must be {right}") from None
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise BankwiseError(f"recipe class_weights is {short(given)}: must be {right}")
    return ",".join(f"{number:g}" if float(f"{number:g}") == number else repr(number) for number in numbers)


def aimed(recipe: Recipe, loss: object, metric: object, class_weights: object) -> Recipe:
    """The recipe with those of loss, metric and class weights that are not None."""
    given = {"loss": loss, "metric": metric, "class_weights": class_weights}
    return dataclasses.replace(recipe, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
