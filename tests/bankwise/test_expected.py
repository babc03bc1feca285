"""What a search expects before its trials: said by `plan` and `search`, and kept."""

from __future__ import annotations

import numpy as np
import pytest

from bankwise import plan
from bankwise.expected import BELOW, LEVELS, Expected, Points, expected
from bankwise.progress import NOTE
from bankwise.result import SearchResult
from bankwise.search_space.budget import Budget
from bankwise.search_space.limits import Limits
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.searching import SearchSettings, search
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.additive.gain import expected_gain
from bankwise.strategies.scores import weighted_capture
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource

SHAPE = shape_of("tiny", (1, 8, 8), 10)
SPACE = BudgetedSpace.of(SHAPE, SpaceSettings(), Limits(Budget(900)))


def test_it_is_the_gain_over_the_best_uniform_plan():
    uniform = SPACE.indices(make_strategy("uniform", SPACE).ask())
    gain = expected_gain(SPACE, SPACE.solve(weighted_capture(SPACE)), uniform, 5)
    found = expected(SPACE, trainings=5)
    assert found is not None and (found.chance, found.logit) == (gain.chance, gain.mean)
    assert (found.low, found.high) == gain.interval and found.low < found.logit < found.high
    assert [one.uniform for one in found.levels] == [*LEVELS] and found.levels[0].points == gain.points(LEVELS[0])[0]


def test_points_are_of_the_uncompressed_networks_accuracy_and_below_it():
    found = expected(SPACE, 0.988)
    assert found is not None and found.uncompressed
    assert [one.uniform for one in found.levels] == [0.988, pytest.approx(0.988 - BELOW)]
    assert 0 < found.levels[0].points < found.levels[1].points
    assert "uncompressed network's 98.8 %" in found.line and found.line.endswith("where that has 88.8 %")


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_level_without_a_logit_is_not_said(level):
    found = expected(SPACE, level)
    assert found is not None and not found.uncompressed and level not in [one.uniform for one in found.levels]


def test_no_points_of_a_metric_that_is_no_share():
    found = expected(SPACE, 0.9, metric="r2")
    assert (
        found is not None and not found.levels and found.line == f"better with a chance of {100 * found.chance:.0f} %"
    )


def test_nothing_where_the_closed_form_is_uniform():
    only = SearchSpace(SHAPE, SpaceSettings(first=("binary",), hidden=("binary",), last=("binary",)))
    everything = BudgetedSpace(only, Budget(100_000))
    assert expected(everything) is None
    assert plan("tiny", 100_000, space=only.settings).expected is None


def test_plan_says_it():
    report = plan("tiny", 900)
    assert report.expected == expected(SPACE)
    assert report.to_dict()["expected"]["levels"][0]["uniform"] == LEVELS[0]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    lines = []
    settings = SearchSettings(
        "random", trials=2, uniform_trials=1, finalists=1, seeds=2, trial_epochs=1, recipe=Recipe(epochs=1, threads=1)
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    source = TaskSource("tiny", "digits", limit=100)
    return search(None, source, "900", folder, settings, on_progress=lines.append), lines


def test_search_says_it_once_after_the_uncompressed_network(told):
    result, events = told
    notes = [i for i, event in enumerate(events) if event.phase == NOTE and "expected" in event.text]
    assert len(notes) == 1 and events[notes[0]].text.endswith(result.expected.line)
    phases = [event.phase for event in events]
    assert "search" not in phases[: notes[0]] and "uncompressed" not in phases[notes[0] :]
    level = np.mean([result.uncompressed.accuracy])
    assert result.expected == expected(SPACE, float(level), trainings=2)


def test_summary_keeps_it(told):
    result, _ = told
    assert SearchResult.read(result.folder).expected == result.expected
    values = result.to_dict()["expected"]
    assert values["levels"][0].keys() == {"uniform", "points", "low", "high"}
    again = Expected(**{**values, "levels": tuple(Points(**one) for one in values["levels"])})
    assert again == result.expected
