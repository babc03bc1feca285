"""The time left that is told while a recorded search of 8x8 digits runs, against what it took."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bankwise.cli.time_left import TimeLeft
from bankwise.progress import Progress

RECORDED = json.loads((Path(__file__).parent / "recorded_search.json").read_text())
Event = tuple[float, str, int]  # seconds, phase, epochs done in it


def events() -> list[Event]:
    """One process, one thread, by its processor time: a default search of eight trials, and ten epochs in full."""
    return [(seconds, phase, done) for phase, told in RECORDED["events"].items() for seconds, done in told]


def ratios(told: list[Event], end: float, work: dict[str, int]) -> Iterator[tuple[float, float]]:
    """Share of the time, and the time left as it is told over that which it was."""
    left, names = TimeLeft(), list(work)
    for now, phase, done in told:
        ahead = {name: work[name] for name in names[names.index(phase) + 1 :]}
        seconds = left.told(now, Progress(phase, done, work[phase], "", ahead))
        if seconds is not None:
            yield now / end, seconds / (end - now)


def times(factor: float) -> Callable[[Event], Event]:
    return lambda event: (factor * event[0], *event[1:])


@pytest.mark.parametrize("factor", [0.1, 1, 100])
def test_from_the_tenth_percent_on_it_is_right_within_half_as_much_again(factor):
    told = [*map(times(factor), events())]
    found = [*ratios(told, factor * RECORDED["seconds"], RECORDED["work"])]
    within = [ratio for share, ratio in found if 0.1 <= share <= 0.95]
    assert len(within) > 200 and 1 / 1.5 < min(within) and max(within) < 1.5


def test_it_is_right_too_where_the_uniform_plan_wins_and_is_not_trained_twice():
    told = [event for event in events() if event[1] not in ("final uniform", "test")]
    work = RECORDED["work"]
    chosen = next(i for i, event in enumerate(told) if event[1] == "final searched")
    before = [*ratios(told[:chosen], told[-1][0], work)]
    assert max(ratio for share, ratio in before if 0.12 <= share <= 0.8) < 1.5  # then half of what is left may not be
    after = [*ratios(told, told[-1][0] + 0.01, work | {"final uniform": 0})]
    assert all(1 / 1.5 < ratio < 1.5 for share, ratio in after if 0.8 <= share <= 0.95)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_start_of_processes_before_the_first_trial_is_no_epoch(share):
    """As with several workers; after it the time left is right at once."""
    late, first = share * RECORDED["seconds"], next(i for i, event in enumerate(events()) if event[1] == "search")
    told = [(now + late * (i >= first), phase, done) for i, (now, phase, done) in enumerate(events())]
    end = RECORDED["seconds"] + late
    found = [*ratios(told, end, RECORDED["work"])]
    after = [ratio for at, ratio in found if told[first][0] / end <= at <= 0.95]
    assert len(after) > 150 and 1 / 1.5 < min(after) and max(after) < 1.5


def test_it_is_right_where_whole_trainings_are_told_as_they_end():
    ends = {(phase, done) for _, phase, done in events() if done % (4 if phase in ("search", "uniform") else 10) == 0}
    told = [event for event in events() if event[1:] in ends]
    found = [*ratios(told, RECORDED["seconds"], RECORDED["work"])]
    within = [ratio for share, ratio in found if 0.2 <= share <= 0.95]
    assert len(within) > 15 and 1 / 1.5 < min(within) and max(within) < 1.5


def test_epochs_that_a_resumed_run_reads_from_files_are_no_pace():
    left = TimeLeft()
    assert left.told(0.0, Progress("uncompressed", 0, 100)) is None
    assert left.told(0.1, Progress("uncompressed", 60, 100)) is None
    assert left.told(3.1, Progress("uncompressed", 61, 100)) == pytest.approx(3.0 * 39)


def test_each_phase_has_its_own_pace():
    left = TimeLeft()
    work = {"search": 100}
    left.told(0.0, Progress("uncompressed", 0, 10, "", work))
    for epoch in range(1, 11):
        seconds = left.told(float(epoch), Progress("uncompressed", epoch, 10, "", work))
    assert seconds == pytest.approx(100 * 1.7)  # no child was trained yet
    for epoch in range(1, 51):
        seconds = left.told(10.0 + 4.0 * epoch, Progress("search", epoch, 100))
    assert seconds == pytest.approx(50 * 4.0, rel=0.12)
