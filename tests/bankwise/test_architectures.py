"""Widths and depths: the climb against brute force, trials that resume, and a search that goes on with the best."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.architectures import Architecture, Offered, climb
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.networks import build, network_names, usual_depths
from bankwise.search_space.targets.file.container import read
from bankwise.searching import SearchSettings, search
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource

DIGITS = TaskSource("tiny", "digits", limit=300)
QUICK = dict(trials=2, uniform_trials=1, finalists=1, seeds=1, trial_epochs=2, recipe=Recipe(epochs=2, threads=1))
WIDTHS = st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.5]), max_size=4)
DEPTHS = st.lists(st.integers(0, 5), max_size=4)


def all_of(offered):
    """Every architecture whose stages have offered widths, and offered or usual depths."""
    widths = itertools.product(offered.widths or (1.0,), repeat=offered.stages)
    usual = offered.usual or ()
    depths = list(itertools.product(*({*offered.depths, blocks} for blocks in usual))) or [None]
    return [Architecture(one, other) for one, other in itertools.product(widths, depths)]


@given(st.sampled_from(["dscnn", "resnet20", "resnet9"]), WIDTHS, DEPTHS, st.integers(0, 2**32))
def test_the_climb_is_above_all_alike_and_every_step_of_one_stage(network, widths, depths, seed):
    """What fits is decided by the sum of channels and blocks, what it is worth by a hash: brute force over all that it
    may look at."""
    offered = Offered(network, tuple(widths), tuple(depths))

    def size(at):
        return sum(w * (1 + d) for w, d in zip(at.widths, at.depths, strict=True))

    limit = min(map(size, offered.narrowest())) * (1 + seed % 4)

    def score(at):
        return None if size(at) > limit else hash((seed, at)) % 1000 / 1000

    best, scores = climb(offered, score)
    every = {at: score(at) for at in all_of(offered) if score(at) is not None}
    assert scores.items() <= every.items() and scores[best] == max(scores.values())
    assert {at for at in every if at.depths == offered.usual and len(set(at.widths)) == 1} <= scores.keys()
    assert len(scores) <= offered.most_trials
    for found in scores:
        beside = [
            other for other in scores
            if sum(a != b for a, b in zip(found.widths + found.depths, other.widths + other.depths, strict=True)) == 1
        ]  # fmt: skip
        assert beside or found in offered.all_alike(), "a step from one that was tried before"


@pytest.mark.parametrize("first", [0, 1])
def test_a_worth_that_is_a_sum_over_stages_is_climbed_to_its_top(first):
    """One stage wants to be narrow and shallow, one as it is, one wide and deep."""
    wanted = Architecture((0.5, 1.0, 2.0), (2, 3, 4))

    def score(at):
        far = sum(abs(a - b) for a, b in zip(at.widths, wanted.widths, strict=True))
        return -far - sum(abs(a - b) for a, b in zip(at.depths, wanted.depths, strict=True)) - 7 * first

    best, _ = climb(Offered("resnet20", (2.0, 0.5, 1.0), (4, 2)), score)
    assert best == wanted


def test_where_only_fewer_blocks_fit_they_are_found():
    offered = Offered("resnet20", (0.5, 1.0), (1, 2))
    best, scores = climb(offered, lambda at: None if sum(at.depths) > 4 else sum(at.depths) + sum(at.widths))
    assert best == Architecture((1.0, 1.0, 1.0), (2, 1, 1)) and all(sum(at.depths) <= 4 for at in scores)
    assert climb(offered, lambda at: None) == (None, {})


def test_names():
    assert Architecture((0.5,) * 3, (3, 3, 3)).of("resnet20") == "resnet20@0.5"
    assert Architecture((1.0,) * 3, (2, 2, 2)).of("resnet20") == "resnet20@d2"
    assert Architecture((1.0, 0.5, 2.0), (1, 2, 3)).of("resnet20") == "resnet20@1,0.5,2d1,2,3"
    assert Architecture((0.5,) * 3).of("small") == "small@0.5"
    for name in network_names():
        depths = (0, 1) if usual_depths(name) else ()
        for one in Offered(name, (0.25, 0.5), depths).all_alike():
            build(one.of(name), classes=10, in_channels=3)


def test_a_search_of_widths_goes_on_with_the_best_one(tmp_path):
    settings = SearchSettings(widths=(0.25, 0.5, 1.0), architecture_epochs=1, **QUICK)
    summary = search(None, DIGITS, 330, tmp_path / "run", settings).to_dict()
    tried = summary["architectures"]
    assert summary["network"] == max(tried, key=tried.get) and {"tiny@0.25", "tiny@0.5"} <= tried.keys()
    assert "tiny" not in tried, "no plan of the full width fits into 330 bytes"
    assert summary["file_bytes"] == (tmp_path / "run" / "model.bankwise").stat().st_size <= 330
    assert read(tmp_path / "run" / "model.bankwise").plan.network == summary["network"]

    events = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {e["network"]: e["accuracy"] for e in events if e["phase"] == "architectures"} == tried
    (tmp_path / "run" / "summary.json").unlink()
    again = search(None, DIGITS, 330, tmp_path / "run", settings).to_dict()
    assert {**again, "seconds": 0, "made": 0} == {**summary, "seconds": 0, "made": 0}
    after = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [e for e in after if e["phase"] == "architectures"] == [e for e in events if e["phase"] == "architectures"]


def test_a_search_of_depths_goes_on_with_the_best_one(tmp_path):
    """Where the network's own depth does not fit, fewer blocks are tried; widths and depths in one search."""
    source = TaskSource("resnet8", "digits", limit=200)
    settings = SearchSettings(widths=(0.25,), depths=(0, 1), architecture_epochs=1, **QUICK)
    summary = search(None, source, 1200, tmp_path / "run", settings).to_dict()
    tried = summary["architectures"]
    assert {"resnet8@0.25", "resnet8@0.25d0"} < tried.keys() and any("," in name for name in tried), tried
    assert summary["network"] == max(tried, key=tried.get)
    assert read(tmp_path / "run" / "model.bankwise").plan.network == summary["network"]
    tight = SearchSettings(depths=(0,), **QUICK)
    shallow = search(None, source, 500, tmp_path / "tight", tight).to_dict()
    assert shallow["network"] == "resnet8@d0" and list(shallow["architectures"]) == ["resnet8@d0"]


def test_every_architecture_that_fits_is_rehearsed_before_any_training(tmp_path, monkeypatch):
    """One that cannot be trained ends the search before it has a folder; one that fits no budget is not tried."""
    rehearsed = []

    def rehearse(task, plan):
        rehearsed.append(task.shape.network)
        if task.shape.network == "tiny@0.5":
            raise BankwiseError("tiny@0.5 cannot be trained")
        return task.recipe

    monkeypatch.setattr("bankwise.architectures.rehearse", rehearse)
    with pytest.raises(BankwiseError, match="tiny@0.5 cannot be trained"):
        search(None, DIGITS, 330, tmp_path / "run", SearchSettings(widths=(0.5, 1.0, 0.25, 0.5), **QUICK))
    assert rehearsed == ["tiny@0.25", "tiny@0.5"] and not (tmp_path / "run").exists()


def test_mistakes_are_one_line_before_anything_is_written(tmp_path):
    out = tmp_path / "run"
    for network in ("tiny@0.5", "torchvision:resnet18"):
        with pytest.raises(BankwiseError, match=f"widths are searched for .* not for '{network}'"):
            search(network, "digits", 700, out, SearchSettings(widths=(0.5,), **QUICK))
    with pytest.raises(BankwiseError, match="depths are searched for the networks resnet20, .* not for 'resnet20@0.5'"):
        search("resnet20@0.5", "digits", 7000, out, SearchSettings(depths=(1,), **QUICK))
    with pytest.raises(BankwiseError, match="network 'tiny' comes in one depth; those with others: resnet20, "):
        search("tiny", "digits", 700, out, SearchSettings(depths=(1,), **QUICK))
    with pytest.raises(InfeasibleBudget, match="150"):
        search(None, DIGITS, 150, out, SearchSettings(widths=(0.25, 1.0), **QUICK))
    with pytest.raises(InfeasibleBudget, match="150 bytes .* 'resnet20@d1' needs"):
        search("resnet20", "digits", 150, out, SearchSettings(depths=(2, 1), **QUICK))
    with pytest.raises(BankwiseError, match="architecture_epochs=0 must be at least 1"):
        SearchSettings(widths=(0.5,), architecture_epochs=0)
    with pytest.raises(BankwiseError, match="architecture_epochs=3 is for searched widths or depths: give these too"):
        SearchSettings(architecture_epochs=3)
    for width in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BankwiseError, match="must be a number above 0"):
            SearchSettings(widths=(width,))
    for depth in (-1, 101):
        with pytest.raises(BankwiseError, match=f"depth={depth}"):
            SearchSettings(depths=(depth,))
    assert not out.exists()
