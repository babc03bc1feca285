"""A run that goes on with more trials, one that is asked for again, and a command that fails before any training."""

from __future__ import annotations

import json
import shutil

from bankwise.strategies.trials import Trials


def more(cli, trials: int, *further: str) -> list[str]:
    words = [*cli.search, *further]
    words[words.index("--trials") + 1] = str(trials)
    return words


def test_a_run_with_more_trials_is_the_search_of_that_many(cli, copied, tmp_path):
    first = (copied / "search" / "ledger.jsonl").read_bytes()
    grown = cli.call(*more(cli, 5), "--out", copied)
    assert grown.code == 0, grown.err
    ledger = copied / "search" / "ledger.jsonl"
    assert ledger.read_bytes().startswith(first) and len(Trials.read(ledger).results) == 5
    at_once = cli.call(*more(cli, 5), "--out", tmp_path / "five")
    assert cli.comparable(grown.json, copied) == cli.comparable(at_once.json, tmp_path / "five")
    assert (copied / "model.bankwise").read_bytes() == (tmp_path / "five" / "model.bankwise").read_bytes()
    assert json.loads((copied / "settings.json").read_text())["trials"] == 5
    keys = [json.loads(line)["key"] for line in (copied / "metrics.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)) and {f"search {number}" for number in range(5)} <= {*keys}


def test_a_stopped_run_may_go_on_with_more_trials(cli, copied, tmp_path):
    (copied / "summary.json").unlink()
    shutil.rmtree(copied / "uniform")
    assert cli.call(*more(cli, 4), "--out", copied).json["file_bytes"] <= 1200
    line = cli.bad(*more(cli, 3), "--out", copied)
    assert "trials: 4 there, 3 now" in line


def test_a_finished_run_says_that_it_is(cli, copied):
    again = cli.call(*cli.search, "--out", copied)
    assert again.code == 0 and f"{copied} is finished" in again.err and "nothing was trained" in again.err
    assert len(again.err.splitlines()) == 1


def test_a_command_that_fails_before_it_trained_leaves_the_folder_to_others(cli, tmp_path):
    folder = tmp_path / "run"
    diverged = cli.call(*cli.search, "--lr", "1e30", "--out", folder)
    assert diverged.code == 2 and "the training diverged" in diverged.err.splitlines()[-1]
    assert not (folder / "settings.json").exists()
    assert cli.call(*cli.search, "--out", folder).code == 0
