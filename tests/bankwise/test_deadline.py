"""A time limit: what still fits, by a clock of its own, and what a search does that has none left."""

from __future__ import annotations

import json
import time

import pytest

from bankwise import BankwiseError, Recipe, SearchResult, SearchSettings, search
from bankwise.cli.settings import seconds
from bankwise.deadline import BESIDE, CHILD, MARGIN, Deadline
from bankwise.trainers.data import load_data

WORK = {
    "data": 0,
    "uncompressed": 30,
    "search": 80,
    "uniform": 16,
    "search finalists": 40,
    "final searched": 24,
    "test": 0,
}
QUICK = dict(trials=4, uniform_trials=3, finalists=1, finalist_seeds=1, seeds=1, trial_epochs=1)


def test_a_trial_begins_only_where_all_behind_it_fits():
    """By hand: 8 epochs of a trial, and 16 + 40 + 24 behind the search; two workers do the 16 in the time of 8, four
    full trainings of 8 epochs at a time the 40 + 24, five and three of them, in three rounds, nine at a time in two."""
    now = 1000.0
    for trials, trainings, behind in ((1, 1, 80), (2, 1, 72), (2, 4, 8 + 24 * BESIDE), (2, 9, 8 + 16 * BESIDE)):
        full = behind - 16 // trials
        deadline = Deadline(5000.0, WORK, trials, trainings, 8, lambda: now)
        assert deadline.leaves_time("search", 8), "nothing is known yet"
        for second in (1.0, 3.0):
            deadline.told("uncompressed", second)
        assert deadline.epoch == 2 * CHILD
        deadline.told("prepare", 100.0)
        for second in (4.0, 6.0):
            deadline.told("search", second)
        assert deadline.epoch == 5.0
        assert (deadline.behind("search"), deadline.behind("uniform")) == pytest.approx((behind, full))
        needed = MARGIN * (8 + behind) * 5
        for at, fits in ((now + needed + 1, True), (now + needed - 1, False)):
            exact = Deadline(at, WORK, trials, trainings, 8, lambda: now, deadline._epochs)
            assert exact.leaves_time("search", 8) == fits
            assert exact.late(8) == pytest.approx(now + MARGIN * (8 + 8 + full) * 5 - at)
    assert Deadline(None, WORK).leaves_time("search", 8) and Deadline(None, WORK).late(8) == 0


@pytest.mark.parametrize(
    ("text", "found"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("1h1m1s", 3661)]
)
def test_times_are_read(text, found):
    assert seconds("--time", text) == found


@pytest.mark.parametrize("text", ["", "2", "h", "0s", "-1h", "1d", "1m1h", "nan", "1e3s"])
def test_other_times_are_one_line(text):
    with pytest.raises(BankwiseError, match="is not a time such as 90s, 30m, 2h or 1h30m"):
        seconds("--time", text)


def test_a_search_without_time_makes_one_trial_of_each_kind_and_more_time_goes_on_from_it(tmp_path):
    data, folder, told = load_data("digits", limit=200), tmp_path / "run", []
    recipe = Recipe(epochs=1, threads=1)
    short = SearchSettings(time=1e-3, recipe=recipe, **QUICK)
    result = search("tiny", data, 1200, folder, short, on_progress=told.append)
    assert [trial.phase for trial in result.trials] == ["search", "uniform"]
    assert result.ended == "1 of 4 trials were begun: others would have ended after the time limit of 0:00"
    assert result.ended_early and any("the time limit will be passed by about" in event.text for event in told)
    recorded = json.loads((folder / "settings.json").read_text())
    assert recorded["time"] == 1e-3 and 0 < recorded["deadline"] < time.time()
    assert search("tiny", data, 1200, folder, short).to_dict() == result.to_dict()
    more = search("tiny", data, 1200, folder, SearchSettings(time=1e6, recipe=recipe, **QUICK))
    whole = search("tiny", data, 1200, tmp_path / "whole", SearchSettings(recipe=recipe, **QUICK))
    assert more.ended == whole.ended == "all 4 trials were made" and not more.ended_early
    assert [trial.plan for trial in more.trials] == [trial.plan for trial in whole.trials]
    assert more.searched == whole.searched and SearchResult.read(folder).ended == more.ended
    with pytest.raises(BankwiseError, match="time: "):
        search("tiny", data, 1200, folder, short)


def test_a_search_that_goes_on_may_be_given_a_time_limit(cli, copied):
    """One with more trials, and one that is not finished; a finished one as it is keeps its record."""
    limited = [*cli.search, "--time", "1h", "--out", copied]
    assert "time: None there, 3600.0 now" in cli.bad(*limited)
    trials = cli.search.index("--trials") + 1
    assert int(cli.search[trials]) < 4
    more = cli.call(*[*limited[:trials], "4", *limited[trials + 1 :]])
    assert more.code == 0, more.err
    assert json.loads((copied / "settings.json").read_text())["time"] == 3600
    assert len((copied / "search" / "ledger.jsonl").read_text().split('"finished"')) == 5
    (copied / "summary.json").unlink()
    limited[limited.index("1h")] = "30m"
    again = cli.call(*[*limited[:trials], "4", *limited[trials + 1 :]])
    assert again.code == 0, again.err
    assert json.loads((copied / "settings.json").read_text())["time"] == 1800


def test_what_keeps_no_time_says_so(cli, tmp_path, monkeypatch):
    (tmp_path / "timeless.py").write_text(
        "from bankwise.strategies.engines.local import LocalEngine\nclass Slow(LocalEngine):\n    stops_early = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BankwiseError, match="time: the timeless:Slow engine stops no search early; local, nni and ray"):
        SearchSettings(engine="timeless:Slow", time=60.0)
    with pytest.raises(BankwiseError, match="time=-1 must be a number of seconds above 0"):
        SearchSettings(time=-1.0)
    assert "--time '2 hours' is not a time" in cli.bad(*cli.search, "--time", "2 hours", "--out", tmp_path / "run")
