"""The training recipe: every number of a training run, as plain JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search_space.errors import BankwiseError, unknown

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("one-cycle", "cosine")
AMP = ("auto", "on", "off")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    `lr` is the peak learning rate (SGD wants about 0.1); `distill` the share of the teacher's term in the loss and
    `temperature` that of its softmax (Hinton et al. 2015); `amp` bfloat16 autocast, `auto`: on CUDA only; `threads` the
    CPU threads of torch, None: as they are. `recalibrate` is the number of batches of 200 training images by which
    batch norm statistics are estimated anew at the end of every epoch: the running ones lag behind weights whose signs
    flip.
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
    recalibrate: int = 10
    amp: str = "auto"
    channels_last: bool = True
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch", 1), ("seed", 0), ("recalibrate", 0)):
            self._integer(name, low)
        if self.threads is not None:
            self._integer("threads", 1)
        for name, allowed in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("amp", AMP)):
            if getattr(self, name) not in allowed:
                raise unknown(f"recipe {name}", getattr(self, name), allowed)
        for name in ("augment", "channels_last"):
            if not isinstance(getattr(self, name), bool):
                raise self._error(name, "true or false")
        for name in ("lr", "temperature"):
            self._number(name, lambda value: value > 0, "a number above 0")
        self._number("weight_decay", lambda value: value >= 0, "a number of at least 0")
        self._number("label_smoothing", lambda value: 0 <= value < 1, "a number from 0 to below 1")
        self._number("distill", lambda value: 0 <= value <= 1, "a number from 0 to 1")

    def _number(self, name: str, right: Callable[[float], bool], allowed: str) -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not right(value):
            raise self._error(name, allowed)
        object.__setattr__(self, name, float(value))  # 1 and 1.0 are one recipe

    def _integer(self, name: str, low: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise self._error(name, f"an integer of at least {low}")

    def _error(self, name: str, allowed: str) -> BankwiseError:
        return BankwiseError(f"recipe {name} is {getattr(self, name)!r}: must be {allowed}")

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values; `from_dict` gives the recipe back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Recipe:
        """A recipe from JSON values; fields left out take their defaults."""
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise unknown("recipe field", name, names)
        return cls(**values)
