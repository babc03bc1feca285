"""How a measured value is written: shares in percent, the values of any other metric as they are."""

from __future__ import annotations

from bankwise.trainers.metric import SHARES


def metric_name(metric: str) -> str:
    """As people read it: of a user's own its name alone.

    >>> metric_name("macro-f1"), metric_name("mine.scores:kappa")
    ('macro-F1', 'kappa')
    """
    return metric.rpartition(":")[2].replace("-f1", "-F1")


def value_of(value: float | None, spread: float | None = None, metric: str = "accuracy") -> str:
    """A value of the metric with, where it has one, its spread over the seeds.

    >>> value_of(0.9375, 0.0042), value_of(0.5, metric="r2"), value_of(None)
    ('93.75 % ± 0.42', '0.5000', '-')
    """
    if value is None:
        return "-"
    if metric in SHARES:
        return f"{100 * value:.2f} %" + ("" if spread is None else f" ± {100 * spread:.2f}")
    return f"{value:.4f}" + ("" if spread is None else f" ± {spread:.4f}")
