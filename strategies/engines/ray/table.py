"""The table of Ray Tune on a terminal: what a search is about, accuracy and bytes."""

from __future__ import annotations

from typing import Any

from ray import tune

COLUMNS = {"accuracy": "accuracy", "file_bytes": "bytes", "epoch": "epoch", "loss": "loss"}


def table(**options: Any) -> tune.CLIReporter:
    """For `tune.RunConfig(progress_reporter=table())`; the `options` are those of `tune.CLIReporter`. The best trials
    come first, by the metric of `tune.TuneConfig`; of a plan the first layers are shown."""
    usual = {"sort_by_metric": True, "max_column_length": 14, "infer_limit": 3}
    return tune.CLIReporter(metric_columns=dict(COLUMNS), **{**usual, **options})
