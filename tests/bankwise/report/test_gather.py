from __future__ import annotations

import json
from pathlib import Path

import pytest

from bankwise.report.gather import Run, read_run
from bankwise.report.view import run_view
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.strategies.trials import Trials


def test_accuracies_are_those_of_the_summary(run: Run, finished: Path):
    summary = json.loads((finished / "summary.json").read_text())
    assert list(run.searched.validation.values) == summary["accuracies"]
    assert run.searched.test.mean == summary["test_accuracy"]
    assert run.uniform.validation.spread == summary["baseline_uniform"]["accuracy_spread"]
    assert run.uncompressed.bytes == run.shape.float_bytes
    assert run.plan == Plan.read(finished / "plan.yaml")
    assert run.seeds == 2 and run.price.file_bytes == run.searched.bytes


def test_trials_come_in_their_order_with_the_finalists_marked(run: Run, finished: Path):
    for phase, trials, count in (("search", run.searched_trials, 4), ("uniform", run.uniform_trials, 2)):
        records = Trials.read(finished / phase / "ledger.jsonl").results
        assert [trial.accuracy for trial in trials] == [record.metrics["accuracy"] for record in records]
        assert len(trials) == count
        finalists = [trial for trial in trials if trial.full is not None]
        assert len(finalists) == 2
        assert min(t.accuracy for t in finalists) >= max((t.accuracy for t in trials if t.full is None), default=0)
    finalists = [trial for trial in (*run.searched_trials, *run.uniform_trials) if trial.full is not None]
    best = max(trial.full for trial in finalists)
    assert run.plan in [trial.plan for trial in finalists if trial.full == best]


def test_full_trainings_are_those_of_the_finalists_that_the_run_names(copied: Path):
    """A strategy with a model of its own need not take the trials of the highest accuracies."""
    full = {tuple(trial.plan.codes.values()): trial.full for trial in read_run(copied).searched_trials}
    file = copied / "search" / "finalists.json"
    first, second = json.loads(file.read_text())["plans"]
    other = next(codes for codes, value in full.items() if value is None)
    file.write_text(json.dumps({"plans": [second, other]}))
    after = {tuple(trial.plan.codes.values()): trial.full for trial in read_run(copied).searched_trials}
    assert after[tuple(second)] == full[tuple(first)] and after[tuple(first)] is None
    assert after[other] == full[tuple(second)]
    file.write_text("{}")
    with pytest.raises(BankwiseError, match="finalists.json' is damaged"):
        read_run(copied)


@pytest.mark.parametrize(
    ("file", "values", "words"),
    [
        ("summary.json", {"file_bytes": "many"}, "summary file_bytes: 'many' is not a whole number"),
        ("summary.json", {"seconds": [1]}, "summary seconds: [1] is not a number"),
        ("summary.json", {"network": 3}, "summary network: 3 is not text"),
        ("summary.json", {"uncompressed": {}}, "measured network lacks the key 'bytes'"),
        ("summary.json", {"accuracies": []}, "is of no training"),
        ("summary.json", {"accuracies": ["a" * 9999]}, "is not a number"),
        ("summary.json", {"architectures": {"tiny": None}}, "None is not a number"),
        ("settings.json", {"finalists": "2"}, "finalists: '2' is not a whole number"),
        ("settings.json", {"network": None}, "settings network: None is not text"),
        ("settings.json", {"source": {"network": "tiny"}}, "settings source"),
    ],
    ids=str,
)
def test_values_of_another_type_are_one_short_line(copied, file, values, words):
    path = copied / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    with pytest.raises(BankwiseError) as caught:
        run_view(read_run(copied))
    line = str(caught.value)
    assert file in line and words in line and "\n" not in line and len(line) < 800


@pytest.mark.parametrize("accuracy", [None, "0.9", True, [0.5]])
def test_metrics_of_a_ledger_are_numbers(copied, accuracy):
    ledger = copied / "search" / "ledger.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in lines:
        line.get("metrics", {})["accuracy"] = accuracy
    ledger.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(BankwiseError, match=r"ledger.jsonl': .*accuracy.* is not a number"):
        read_run(copied)
