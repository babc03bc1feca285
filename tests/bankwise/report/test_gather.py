from __future__ import annotations

import json
from pathlib import Path

from bankwise.report.gather import Run
from search_space.plan import Plan


def test_accuracies_are_those_of_the_summary(run: Run, finished: Path):
    summary = json.loads((finished / "summary.json").read_text())
    assert list(run.searched.validation.values) == summary["accuracies"]
    assert run.searched.test.mean == summary["test_accuracy"]
    assert run.uniform.validation.spread == summary["baseline_uniform"]["accuracy_spread"]
    assert run.uncompressed.bytes == run.shape.float_bytes
    assert run.plan == Plan.read(finished / "plan.yaml")
    assert run.seeds == 2 and run.price.file_bytes == run.searched.bytes


def test_trials_come_in_their_order_with_the_finalists_marked(run: Run, finished: Path):
    for phase, trials, count in (("search", run.trials, 4), ("uniform", run.uniform_trials, 2)):
        records = json.loads((finished / f"{phase}.json").read_text())["trials"]
        assert [trial.accuracy for trial in trials] == [record["metrics"]["accuracy"] for record in records]
        assert len(trials) == count
        finalists = [trial for trial in trials if trial.full is not None]
        assert len(finalists) == 2
        assert min(t.accuracy for t in finalists) >= max((t.accuracy for t in trials if t.full is None), default=0)
    finalists = [trial for trial in (*run.trials, *run.uniform_trials) if trial.full is not None]
    assert max(finalists, key=lambda trial: trial.full).plan == run.plan
