"""How far a run is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bankwise.trainers.data import ImageData
from bankwise.trainers.device import described
from bankwise.trainers.loop import EpochReport, optimizer_steps
from bankwise.trainers.recipe import Recipe

NOTE = "note"  # a line to be told, of no training
DATA = "data"  # the phase in which the images are told, before any training; its text may have several lines
UNCOMPRESSED, PREPARE, ARCHITECTURES = "uncompressed", "prepare", "architectures"
TEACHERS = (UNCOMPRESSED, PREPARE, ARCHITECTURES)  # phases that train other networks than children
FINALISTS = ("search finalists", "uniform finalists")
FINAL = ("final searched", "final uniform")
PERHAPS = "final uniform"  # not trained where the best plan is a uniform one
FEW_STEPS = 20


@dataclass(frozen=True)
class Progress:
    """How far a run is: `phase`, epochs done of `total` in it, a line on the latest, and the epochs `ahead` in each of
    the phases after it (as planned: a strategy may end sooner)."""

    phase: str
    done: int
    total: int
    text: str = ""
    ahead: Mapping[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Epochs in the phases after this one."""
        return sum(self.ahead.values())


OnProgress = Callable[[Progress], None]


def told_finished(folder: Path, on_progress: OnProgress | None, more: str = "") -> None:
    """A run that is asked for again is finished."""
    if on_progress is not None:
        on_progress(Progress(NOTE, 0, 0, f"{folder} is finished: this is its result, nothing was trained{more}"))


@dataclass(frozen=True)
class Meter:
    """Reports to `on_progress`. `work` is the number of epochs planned for every phase, in their order, `metric` the
    name of what is measured; `on_epoch` is told the phase and number of every training's epoch."""

    work: dict[str, int]
    on_progress: OnProgress | None = None
    metric: str = "accuracy"
    on_epoch: Callable[[str, int, EpochReport], None] | None = None

    def __call__(self, phase: str, done: int, text: str = "") -> None:
        if self.on_progress is not None:
            names = list(self.work)
            ahead = {name: self.work[name] for name in names[names.index(phase) + 1 :]}
            self.on_progress(Progress(phase, min(done, self.work[phase]), self.work[phase], text, ahead))

    def note(self, text: str) -> None:
        """A line that is of no training."""
        if self.on_progress is not None:
            self.on_progress(Progress(NOTE, 0, 0, text))

    def told(self, value: float) -> str:
        """A measured value."""
        return f"{self.metric} {value:.4f}"

    def without(self, phase: str) -> None:
        """A phase that was planned will not be."""
        self.work[phase] = 0

    def data(self, data: ImageData, recipe: Recipe) -> None:
        """Tell which images are trained on, in how many steps, and where."""
        steps = optimizer_steps(data, recipe)
        line = f"{steps:,} optimizer step{'s' if steps > 1 else ''} in a full training"
        if steps < FEW_STEPS:
            line += ", which teach little: a smaller batch or more epochs make more"
        self(DATA, 0, "\n".join([*data.lines(), line, f"device {described(recipe.device, recipe.threads)}"]))

    def epochs(self, phase: str, unit: int, epochs: int) -> Callable[[EpochReport], None]:
        """The report of training number `unit` of a phase, all of `epochs` epochs."""

        def report(epoch: EpochReport) -> None:
            if self.on_epoch is not None:
                self.on_epoch(phase, unit, epoch)
            text = f"epoch {epoch.epoch}/{epochs} loss {epoch.loss:.3f} {self.told(epoch.accuracy)}"
            self(phase, unit * epochs + epoch.epoch, text)

        return report
