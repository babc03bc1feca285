"""How long a run still takes, from the epochs that it has trained: those of every phase have a pace of their own."""

from __future__ import annotations

import statistics
from collections import deque

from bankwise.deadline import CHILD
from bankwise.progress import DATA, FINAL, PERHAPS, TEACHERS, UNCOMPRESSED, Progress

WINDOW = 30  # events of a phase that its pace is measured over
BEFORE = 6  # epochs that what earlier phases say of a new one weighs
READ = 0.25  # a jump at less than that share of the usual time was read from files, as of a run that goes on
START = 4  # times what an epoch is expected to take: the first one of a phase has seen processes start
FASTEST = 0.005  # seconds of an epoch, where none was seen yet
APART = TEACHERS  # phases that say nothing of the others


class TimeLeft:
    """Told every event of a run with the time, in seconds, at which it came."""

    def __init__(self) -> None:
        self.paces: dict[str, deque[tuple[float, int]]] = {}
        self.at: float | None = None  # when the last epoch that counts ended
        self.phase, self.done = "", 0

    def told(self, now: float, event: Progress) -> float | None:
        """Seconds that are left, None while nothing is known."""
        if self.at is None:
            self.at = now
            self.phase, self.done = event.phase, event.done
            return None
        if event.phase != self.phase:
            self.phase, self.done = event.phase, 0
            self.at = now if event.done == 0 else self.at  # what came between the phases is no epoch
        epochs = event.done - self.done
        if epochs > 0:
            took = now - self.at
            starts = event.phase not in self.paces and 0 < START * epochs * self.pace(event.phase) < took
            paces = self.paces.setdefault(event.phase, deque(maxlen=WINDOW))
            if not starts:
                paces.append((took, epochs))
            self.at, self.done = now, event.done
        if event.phase == DATA or not self._usual():
            return None
        work: dict[str, float] = {event.phase: event.total - event.done, **event.ahead}
        if event.phase not in FINAL:  # whether the uniform plan is another one is not known yet: half its trainings
            work[PERHAPS] = work.get(PERHAPS, 0) / 2
        return sum(self.pace(phase) * epochs for phase, epochs in work.items())

    def pace(self, phase: str) -> float:
        """Seconds of an epoch of the phase."""
        own = self._trained(phase)
        children = [name for name in self.paces if name not in (*APART, phase)]
        others = [one for name in children for one in self._trained(name)][-WINDOW:]  # a machine's load changes
        uncompressed = self._trained(UNCOMPRESSED)
        if phase not in APART and others:
            before = _mean(others)
        elif phase not in APART and uncompressed:
            before = CHILD * _mean(uncompressed)
        else:
            before = _mean(own) if own else self._usual()
        return (sum(seconds for seconds, _ in own) + BEFORE * before) / (sum(epochs for _, epochs in own) + BEFORE)

    def _usual(self) -> float:
        """Median seconds of an epoch, 0 where none was trained."""
        every = [one for paces in self.paces.values() for one in paces]
        single = [seconds for seconds, epochs in every if epochs == 1]
        jumps = [seconds / epochs for seconds, epochs in every if seconds >= FASTEST * epochs]
        return statistics.median(single) if single else statistics.median(jumps) if jumps else 0.0

    def _trained(self, phase: str) -> list[tuple[float, int]]:
        """Those of a phase that were trained here, not read from files."""
        least = READ * self._usual() or FASTEST
        return [one for one in self.paces.get(phase, ()) if one[1] == 1 or one[0] >= least * one[1]]


def _mean(paces: list[tuple[float, int]]) -> float:
    return sum(seconds for seconds, _ in paces) / sum(epochs for _, epochs in paces)
