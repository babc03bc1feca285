"""Trials that find nothing better end a search that has little patience."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise import BankwiseError, Recipe, SearchSettings, search
from bankwise.patience import Patience
from bankwise.trainers.data import load_data

SETTINGS = dict(
    strategy="random", trials=9, uniform_trials=3, finalists=1, finalist_seeds=1, seeds=1, trial_epochs=1,
    recipe=Recipe(epochs=1, threads=1),
)  # fmt: skip


def begun(accuracies: list[float], limit: int) -> int:
    """Trials begun one after another, by the definition."""
    best, waited = -1.0, 0
    for number, accuracy in enumerate(accuracies):
        if waited >= limit:
            return number
        best, waited = max(best, accuracy), 0 if accuracy > best else waited + 1
    return len(accuracies)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), max_size=12), st.integers(1, 5))
def test_it_is_over_after_so_many_trials_without_a_better_one(accuracies, limit):
    patience, number = Patience(limit), 0
    for number, accuracy in enumerate([*accuracies, None]):
        if patience.over or accuracy is None:
            break
        patience.results[number] = accuracy
    assert number == begun(accuracies, limit)
    assert not Patience(None, dict(enumerate(accuracies))).over


@pytest.mark.parametrize("options", [{}, {"workers": 2}])
def test_a_search_ends_there_and_goes_on_with_more_patience(tmp_path, options):
    data, folder = load_data("digits", limit=200), tmp_path / "run"
    whole = search("tiny", data, 1200, tmp_path / "whole", SearchSettings(**SETTINGS), options=options)
    accuracies = [trial.accuracy for trial in whole.trials if trial.phase == "search"]
    expected = begun(accuracies, 1)
    late = options.get("workers", 1) - 1  # already begun when the last result came
    assert 1 < expected and expected + late < 9, "the search was to end early"
    found = search("tiny", data, 1200, folder, SearchSettings(patience=1, **SETTINGS), options=options)
    tried = [trial.accuracy for trial in found.trials if trial.phase == "search"]
    assert tried == accuracies[: expected + late]
    assert sum(trial.phase == "uniform" for trial in found.trials) == 3
    assert found.ended_early and found.ended.startswith(f"{expected + late} of 9 trials were begun: the last ")
    with pytest.raises(BankwiseError, match="patience"):
        search("tiny", data, 1200, tmp_path / "whole", SearchSettings(patience=1, **SETTINGS), options=options)
    more = search("tiny", data, 1200, folder, SearchSettings(**SETTINGS), options=options)
    assert [trial.plan for trial in more.trials] == [trial.plan for trial in whole.trials]
    assert more.searched == whole.searched and not more.ended_early


def test_the_command_tells_it_and_repeats_it(cli, tmp_path):
    arguments = [*cli.search[:-1], "--strategy", "random", "--epochs", 1, "--trial-epochs", 1, "--patience", 1]
    outcome = cli.call(*arguments, "--trials", 9, "--out", tmp_path / "run")
    assert "trials were begun: the last" in outcome.out.replace("\n", " ")
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["patience"] == 1
    assert "--patience 1" in (tmp_path / "run" / "report.html").read_text()


def test_bad_patience_is_one_line(cli, tmp_path, monkeypatch):
    (tmp_path / "patient.py").write_text(
        "from bankwise.strategies.engines.local import LocalEngine\nclass Slow(LocalEngine):\n    stops_early = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BankwiseError, match="patience: the patient:Slow engine stops no search early"):
        SearchSettings(engine="patient:Slow", patience=3)
    with pytest.raises(BankwiseError, match="patience=0 must be at least 1"):
        SearchSettings(patience=0)
    assert "patience=-1 must be at least 1" in cli.bad(*cli.search, "--patience", -1, "--out", tmp_path / "run")
