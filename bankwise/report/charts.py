"""The charts of a run's page: accuracy against bytes with the value of every seed, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence

from bankwise.measuring import Sample
from bankwise.report.chart import Level, Line, Mark, byte_axis, chart, count_axis, value_axis
from bankwise.report.model import Predicted
from bankwise.result import Trial
from bankwise.shown import metric_name, value_of
from bankwise.trainers.metric import SHARES

Training = tuple[str, str, Sequence[float]]  # name, look, the value after each epoch
MOST_CURVES = 60  # the best of more
MOST_VERTICES = 2500  # with more of them a page takes long to show


Network = tuple[str, str, int, Sample]  # name, look, bytes, the value of each seed


def against_bytes(
    networks: Sequence[Network],
    levels: Sequence[tuple[str, Sample]],
    metric: str,
    trials: Sequence[Trial] = (),
    split: str = "validation",
    exported: bool = False,
) -> str:
    """The metric on the split against the bytes of the file: the mean of every network and the value of each seed, the
    first in a ring where it is `exported`; as levels what is no file, (name, values); as hollow marks trials, after
    short trainings, and their means after full ones. No line joins what nobody trained between."""
    marks = [mark for trial in trials for mark in _of_trial(trial, metric)]
    for number, (name, look, size, sample) in enumerate(networks):
        told = f"{name}, {size:,} bytes: {value_of(sample.mean, sample.spread, metric)} ({split})"
        if exported and not number:  # a ring lies below: what it is around can be pointed at
            marks.insert(0, Mark(size, sample.mean, "ring", f"hollow {look}", f"exported: {told}"))
        for seed, value in enumerate(sample.values):
            tip = f"{name}, seed {seed}: {value_of(value, metric=metric)}"
            marks.append(Mark(size, value, "dot", look, tip))
        marks.append(Mark(size, sample.mean, "square" if look == "uniform" else "diamond", look, told))
    drawn = [
        Level(sample.mean, "plain", f"{name}: {value_of(sample.mean, sample.spread, metric)} ({split})")
        for name, sample in levels
    ]
    values = [*(mark.y for mark in marks), *(level.y for level in drawn)]
    axis = value_axis(f"{split} {metric_name(metric)}", values, metric in SHARES)
    return chart(f"{axis.title} against bytes", byte_axis(mark.x for mark in marks), axis, marks, levels=drawn)


def _of_trial(trial: Trial, metric: str) -> list[Mark]:
    look = "hollow searched" if trial.phase == "search" else "hollow uniform"
    size, named = trial.file_bytes, f"{_trial(trial)}, {trial.file_bytes:,} bytes"
    short = f"{named}: {value_of(trial.accuracy, metric=metric)} after a short training"
    found = [Mark(size, trial.accuracy, "dot", look, short)]
    if trial.full is not None:
        full = f"{named}, finalist: {value_of(trial.full, metric=metric)} after full trainings"
        found.append(Mark(size, trial.full, "circle", look, full))
    return found


def learning_curves(trials: Sequence[Trial], trainings: Sequence[Training], metric: str) -> str | None:
    """The metric on the validation split after each epoch: of the best trials, and of full trainings. None where there
    are none."""
    best = sorted(trials, key=lambda trial: -trial.accuracy)[:MOST_CURVES]
    found = [(_trial(trial), "searched" if trial.phase == "search" else "uniform", _epochs(trial)) for trial in best]
    found += [(name, f"{look} full", list(values)) for name, look, values in trainings]
    found = [one for one in found if one[2]]
    if not found:
        return None
    told = sum(len(values) for _, _, values in found) <= MOST_VERTICES
    lines = []
    for name, look, values in found:
        shown = [value_of(value, metric=metric) for value in values]
        tips = [f"{name}, epoch {epoch}: {one}" for epoch, one in enumerate(shown, 1)] if told else []
        end = f"{name}: {shown[-1]} after {len(values)} epochs"
        lines.append(Line([*enumerate(values, 1)], look, end, tips))
    every = [value for _, _, values in found for value in values]
    axis = value_axis(f"validation {metric_name(metric)}", every, metric in SHARES)
    epochs = count_axis("epoch", max(len(values) for _, _, values in found))
    return chart(f"{axis.title} after each epoch", epochs, axis, lines=lines)


def predictions(trials: Sequence[Predicted], metric: str) -> str | None:
    """What the trials measure against what the others say of them, with its interval; on the diagonal where it comes
    true. None where there are none."""
    if not trials:
        return None
    values = [value for one in trials for value in (one.value, one.trial.accuracy)]
    axis = value_axis(f"measured {metric_name(metric)}", values, metric in SHARES)
    across = value_axis("predicted from the other trials", values, metric in SHARES)
    marks, lines = [], [Line([(axis.low, axis.low), (axis.high, axis.high)], "plain", "measured as predicted")]
    for one in trials:
        low, value, high, measured = (
            value_of(x, metric=metric) for x in (one.low, one.value, one.high, one.trial.accuracy)
        )
        tip = f"{_trial(one.trial)}: predicted {value} ({low} to {high}), measured {measured}"
        look = "searched" if one.trial.phase == "search" else "uniform"
        ends = [(min(max(end, across.low), across.high), one.trial.accuracy) for end in (one.low, one.high)]
        lines.append(Line(ends, look, tip))
        marks.append(Mark(one.value, one.trial.accuracy, "square" if look == "uniform" else "diamond", look, tip))
    return chart(f"{axis.title} against {across.title}", across, axis, marks, lines)


def _epochs(trial: Trial) -> list[float]:
    values = trial.metrics.get("epochs")
    return [float(one) for one in values if isinstance(one, int | float)] if isinstance(values, list | tuple) else []


def _trial(trial: Trial) -> str:
    return f"{'trial' if trial.phase == 'search' else 'uniform trial'} {trial.number + 1}"
