"""When a search is to end: whether one more trial leaves time for the full trainings behind it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bankwise.progress import FINAL, FINALISTS, TEACHERS, UNCOMPRESSED

CHILD = 1.7  # epochs of the uncompressed network that one of a child takes, until a child was trained
BESIDE = 1.3  # as long an epoch takes beside others, whose processes start first (benchmarks/workers.py)
MARGIN = 1.1  # of what is expected: packing and measuring take time beside the epochs


@dataclass
class Deadline:
    """`at` is when all is to be done, in seconds since 1970, None: never. `work` are the epochs of every phase
    (`SearchSettings.work`), `trials` and `trainings` how many trials and full trainings run at a time, `full` the
    epochs of a full training, `now` the clock."""

    at: float | None
    work: Mapping[str, int]
    trials: int = 1
    trainings: int = 1
    full: int = 1
    now: Callable[[], float] = time.time
    _epochs: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})  # seconds; of children?

    def told(self, phase: str, seconds: float) -> None:
        """An epoch of the phase took that long."""
        if phase == UNCOMPRESSED or phase not in TEACHERS:
            self._epochs[phase != UNCOMPRESSED].append(seconds)

    def leaves_time(self, phase: str, trial_epochs: int) -> bool:
        """Whether a trial that began now in the phase, "search" or "uniform", would end in time for all behind it."""
        if self.at is None:
            return True
        return self.now() + MARGIN * (trial_epochs + self.behind(phase)) * self.epoch <= self.at

    def behind(self, phase: str) -> float:
        """Epochs of the phases behind it, in the time of so many one after another. Full trainings are made in rounds,
        all finalists together and then all final ones; a round takes as long as one of them, however few it has."""
        names = list(self.work)
        after = names[names.index(phase) + 1 :]
        epochs = self.work["uniform"] / self.trials if "uniform" in after else 0
        for together in FINALISTS, FINAL:
            trainings = sum(self.work[name] for name in together if name in after) / self.full
            rounds = math.ceil(trainings / self.trainings) * (BESIDE if self.trainings > 1 else 1)
            epochs += rounds * self.full
        return epochs

    def late(self, trial_epochs: int) -> float:
        """Seconds by which the least that a search does passes the deadline: one trial of each kind, and what is behind
        them. 0 or less: none."""
        if self.at is None:
            return 0.0
        kinds = [phase for phase in ("search", "uniform") if phase in self.work]
        least = trial_epochs * len(kinds) + self.behind(kinds[-1])
        return self.now() + MARGIN * least * self.epoch - self.at

    @property
    def epoch(self) -> float:
        """Seconds of an epoch of a child; 0 while nothing is known."""
        if self._epochs[True]:
            return sum(self._epochs[True]) / len(self._epochs[True])
        uncompressed = self._epochs[False]
        return CHILD * sum(uncompressed) / len(uncompressed) if uncompressed else 0.0


def clock(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
