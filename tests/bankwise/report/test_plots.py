from __future__ import annotations

import dataclasses

import pytest

from bankwise.report import plots
from bankwise.report.closed_form import closed_form
from bankwise.report.gather import Run
from bankwise.report.style import DARK, LIGHT


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_axis_says_what_it_is(run: Run, theme):
    form = closed_form(run)
    drawn = [plots.staircase(form, 1200), plots.bytes_by_part(run), plots.bits_per_weight(run), plots.history(run)]
    for plot in (*drawn, plots.next_kib(form)):
        axes = plot(theme).axes
        for ax in axes:
            assert any(unit in ax.get_xlabel() for unit in ("bytes", "bits per weight", "trial", "%"))
            shared = ax is not axes[0] and axes[0].get_shared_y_axes().joined(ax, axes[0])
            named = " ".join(label.get_text() for label in ax.get_yticklabels()).split()
            assert shared or ax.get_ylabel() or run.shape.layers[-1].name in named


def test_bars_hold_the_bytes(run: Run):
    for ax, price in zip(plots.bytes_by_part(run)(LIGHT).axes, (run.price, run.uniform_price), strict=True):
        assert sum(patch.get_width() for patch in ax.patches) == price.file_bytes


def test_the_best_so_far_never_falls(run: Run):
    worse = dataclasses.replace(run.trials[0], accuracy=0.01)
    ax = plots.history(dataclasses.replace(run, trials=(*run.trials, worse)))(LIGHT).axes[0]
    best = next(line for line in ax.lines if line.get_label() == "searched, best so far").get_ydata()
    assert list(best) == sorted(best) and best[-1] == 100 * max(trial.accuracy for trial in run.trials)
