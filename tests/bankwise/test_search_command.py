from __future__ import annotations

import json

import pytest

from bankwise.search_space.plan import Plan

WANTED = {
    "budget_bytes", "file_bytes", "paper_bits", "accuracy", "plan", "baseline_uniform", "uncompressed", "network",
    "data", "planned_bytes", "accuracy_spread", "accuracies", "test_accuracy", "test_accuracies", "model", "strategy",
    "report",
}  # fmt: skip


def test_the_summary_is_one_json_object_on_stdout(cli, finished):
    folder, outcome = finished
    assert outcome.code == 0, outcome.err
    summary = outcome.json
    assert summary.keys() >= WANTED
    assert summary["budget_bytes"] == 1200 >= summary["file_bytes"] == summary["planned_bytes"]
    assert (folder / "model.bankwise").stat().st_size == summary["file_bytes"]
    for values in (summary, summary["baseline_uniform"], summary["uncompressed"]):
        assert 0.1 < values["accuracy"] <= 1 and len(values["accuracies"]) == len(values["test_accuracies"]) == 2
    assert summary["baseline_uniform"]["bytes"] <= 1200
    assert summary["uncompressed"]["bytes"] == 133352
    assert set(Plan.read(summary["plan"]).layers) == {"0.0", "1.0", "2.0", "3.0", "6"}
    assert (folder / "report.html").exists()
    assert json.loads((folder / "summary.json").read_text()).items() <= summary.items()


def test_the_progress_goes_to_stderr_phase_by_phase(cli, finished):
    phases = [line.partition(":")[0].split(" ")[0] for line in finished[1].err.splitlines()]
    assert [name for name in phases if name in ("uncompressed", "prepare", "search", "uniform", "test")][
        0
    ] == "uncompressed"
    assert {"uncompressed", "search", "uniform", "final", "test"} <= set(phases)
    assert " left" in finished[1].err


def test_a_finished_search_returns_the_same_at_once(cli, finished):
    folder, outcome = finished
    again = cli.call(*cli.search, "--out", folder)
    assert again.json == outcome.json
    assert "epoch" not in again.err


def test_without_json_a_table_of_the_plan_and_what_it_beats(cli, finished):
    folder, outcome = finished
    shown = cli.call(*(word for word in cli.search if word != "--json"), "--out", folder)
    assert shown.code == 0
    for words in ("this plan", "best uniform plan", "uncompressed", "model.bankwise", "1,200 bytes (file accounting)"):
        assert words in shown.out
    assert f"{outcome.json['file_bytes']:,}" in shown.out


def test_another_search_in_the_same_folder_is_an_error(cli, finished):
    folder, _ = finished
    line = cli.bad(*cli.search, "--out", folder, "--seed", 5)
    assert "seed" in line and "another folder" in line
    line = cli.bad(*cli.search, "--out", folder, "--strategy", "tpe")
    assert "'evolution'" in line and "'tpe'" in line


def test_a_folder_of_something_else_is_left_alone(cli, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "another folder" in cli.bad(*cli.search, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--budget", "300"], ["300 bytes", "346", "largest layers"], 3),
        (["--strategy", "evolutoin"], ["evolutoin", "evolution"], 2),
        (["--engine", "locale"], ["locale", "local"], 2),
        (["--network", "tinny"], ["tinny", "tiny"], 2),
        (["--data", "digist"], ["digist", "digits"], 2),
        (["--data", "npz:nowhere.npz"], ["nowhere.npz"], 2),
        (["--limit", "3"], ["limit 3", "20 images"], 2),
        (["--validation", "1.5"], ["validation share 1.5", "between 0 and 1"], 2),
        (["--architecture-epochs", "2"], ["architecture_epochs=2", "give these"], 2),
        (["--depths", "1,x"], ["--depths", "1,x", "whole numbers"], 2),
        (["--depths", "1"], ["tiny", "one depth", "resnet20"], 2),
        (["--optimizer", "adam"], ["adam", "adamw"], 2),
        (["--space", "nowhere.yaml"], ["nowhere.yaml"], 2),
        (["--recipe", "nowhere.yaml"], ["nowhere.yaml"], 2),
    ],
)
def test_bad_input_is_reported_before_anything_is_written(cli, tmp_path, arguments, words, code):
    line = cli.bad(*cli.search, "--out", tmp_path / "run", *arguments, code=code)
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()


def test_a_corrupt_checkpoint_is_named(cli, copied):
    for path in (copied / "summary.json", copied / "checkpoints" / "searched-0.json"):
        path.unlink()
    checkpoint = copied / "checkpoints" / "searched-0.pt"
    data = bytearray(checkpoint.read_bytes())
    data[-1000] ^= 4
    checkpoint.write_bytes(data)
    outcome = cli.call(*cli.search, "--out", copied)
    last = outcome.err.splitlines()[-1]
    assert outcome.code == 2 and last.startswith("error: ") and str(checkpoint) in last and "delete it" in last


def test_a_corrupt_journal_or_summary_is_named(cli, copied):
    (copied / "summary.json").write_text("{")
    assert "summary.json" in cli.bad(*cli.search, "--out", copied)
    (copied / "summary.json").unlink()
    (copied / "search" / "ledger.jsonl").write_text("{}\n")
    outcome = cli.call(*cli.search, "--out", copied)
    assert outcome.code == 2 and "ledger.jsonl" in outcome.err.splitlines()[-1]
