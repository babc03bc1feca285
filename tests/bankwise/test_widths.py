"""Widths: the climb against brute force, trials that resume, and a search that goes on with the best network."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.targets.file.container import read
from bankwise.searching import SearchSettings, search
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource
from bankwise.widths import climb, most_trials

DIGITS = TaskSource("tiny", "digits", limit=300)
QUICK = dict(trials=2, uniform_trials=1, finalists=1, seeds=1, trial_epochs=2, recipe=Recipe(epochs=2, threads=1))


@given(
    st.integers(1, 4),
    st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.5]), min_size=1, max_size=4, unique=True),
    st.integers(0, 2**32),
)
def test_the_climb_is_above_every_equal_width_and_every_step_of_one_stage(count, multipliers, seed):
    """What fits is decided by the sum of widths, what it is worth by a hash: brute force over what it may look at."""
    limit = min(multipliers) * count + seed % 3

    def score(widths):
        return None if sum(widths) > limit else hash((seed, widths)) % 1000 / 1000

    best, scores = climb(count, multipliers, score)
    every = {w: score(w) for w in itertools.product(multipliers, repeat=count) if score(w) is not None}
    assert scores.items() <= every.items() and scores[best] == max(scores.values())
    assert {w for w in every if len(set(w)) == 1} <= scores.keys()
    assert len(scores) <= most_trials(count, multipliers)
    steps = sorted(multipliers)
    for found in scores.keys() - {(w,) * count for w in multipliers}:
        nearest = [
            other for other in scores
            if sum(a != b for a, b in zip(found, other, strict=True)) == 1
            and all(abs(steps.index(a) - steps.index(b)) <= 2 for a, b in zip(found, other, strict=True))
        ]  # fmt: skip
        assert nearest, "a step from one that was tried before"


def test_a_worth_that_is_a_sum_over_stages_without_a_tie_is_climbed_to_its_top():
    """One stage wants to be narrow, one as it is, one wide."""
    wanted = (0.5, 1.0, 2.0)
    best, _ = climb(3, [2.0, 0.5, 1.0], lambda widths: -sum(abs(a - b) for a, b in zip(widths, wanted, strict=True)))
    assert best == wanted


def test_a_search_of_widths_goes_on_with_the_best_one(tmp_path):
    settings = SearchSettings(widths=(0.25, 0.5, 1.0), width_epochs=1, **QUICK)
    summary = search(None, DIGITS, 330, tmp_path / "run", settings).to_dict()
    tried = summary["widths"]
    assert summary["network"] == max(tried, key=tried.get) and {"tiny@0.25", "tiny@0.5"} <= tried.keys()
    assert "tiny" not in tried, "no plan of the full width fits into 330 bytes"
    assert summary["file_bytes"] == (tmp_path / "run" / "model.bankwise").stat().st_size <= 330
    assert read(tmp_path / "run" / "model.bankwise").plan.network == summary["network"]

    events = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {e["network"]: e["accuracy"] for e in events if e["phase"] == "widths"} == tried
    (tmp_path / "run" / "summary.json").unlink()
    again = search(None, DIGITS, 330, tmp_path / "run", settings).to_dict()
    assert {**again, "seconds": 0, "made": 0} == {**summary, "seconds": 0, "made": 0}
    after = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [e for e in after if e["phase"] == "widths"] == [e for e in events if e["phase"] == "widths"]


def test_every_width_that_fits_is_rehearsed_before_any_training(tmp_path, monkeypatch):
    """One that cannot be trained ends the search before it has a folder; one that fits no budget is not tried."""
    rehearsed = []

    def rehearse(task, plan):
        rehearsed.append(task.shape.network)
        if task.shape.network == "tiny@0.5":
            raise BankwiseError("tiny@0.5 cannot be trained")
        return task.recipe

    monkeypatch.setattr("bankwise.widths.rehearse", rehearse)
    with pytest.raises(BankwiseError, match="tiny@0.5 cannot be trained"):
        search(None, DIGITS, 330, tmp_path / "run", SearchSettings(widths=(0.5, 1.0, 0.25, 0.5), **QUICK))
    assert rehearsed == ["tiny@0.25", "tiny@0.5"] and not (tmp_path / "run").exists()


def test_mistakes_are_one_line_before_anything_is_written(tmp_path):
    out = tmp_path / "run"
    for network in ("tiny@0.5", "torchvision:resnet18"):
        with pytest.raises(BankwiseError, match=f"widths are searched for .* not for '{network}'"):
            search(network, "digits", 700, out, SearchSettings(widths=(0.5,), **QUICK))
    with pytest.raises(InfeasibleBudget, match="150"):
        search(None, DIGITS, 150, out, SearchSettings(widths=(0.25, 1.0), **QUICK))
    with pytest.raises(BankwiseError, match="width_epochs=0 must be at least 1"):
        SearchSettings(widths=(0.5,), width_epochs=0)
    with pytest.raises(BankwiseError, match="width_epochs=3 is for searched widths: give widths too"):
        SearchSettings(width_epochs=3)
    for width in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BankwiseError, match="must be a number above 0"):
            SearchSettings(widths=(width,))
    assert not out.exists()
