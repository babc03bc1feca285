"""Several runs side by side: accuracy against bytes, and a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bankwise.report import words
from bankwise.report.elements import FILE, heading, page, paragraph, picture, section, table
from bankwise.report.gather import Measured, Run, Sample
from bankwise.report.style import Plot, Theme, byte_axis, figure, legend_above

MARKERS = "D^vPX"


def comparison_page(runs: Sequence[Run], folder: Path) -> str:
    """The HTML; its figures are also written to `folder`. Runs of one network and data set share a section."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.searched.bytes):
        groups.setdefault(f"{run.network} on {run.data}", []).append(run)
    title = f"{len(runs)} runs of {len(groups)} networks or data sets"
    if len(groups) == 1:
        title = f"{next(iter(groups))}: {len(runs)} runs"
    blocks = [
        _section("Accuracy against bytes" if len(groups) == 1 else name, group, folder, number)
        for number, (name, group) in enumerate(groups.items(), 1)
    ]
    return page(title, heading(title), *blocks)


def _section(name: str, runs: Sequence[Run], folder: Path, number: int) -> str:
    counts = sorted({run.seeds for run in runs})
    over = words.count(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    spread = "error bars: sample standard deviation; dots: single seeds" if counts[-1] > 1 else "without a spread"
    size = f"{runs[0].uncompressed.bytes:,} bytes"
    figures = [
        picture(
            f"comparison-{split}" + ("" if number == 1 else f"-{number}"),
            f"{split.capitalize()} accuracy against bytes",
            accuracy(runs, split),
            folder,
            f"Accuracy on the {shown}: mean over {over}, {spread}. Bytes of the exported file (",
            FILE,
            f"), logarithmic. Dashed, with its spread as a band: the uncompressed float32 network of {size}.",
        )
        for split, shown in (
            ("validation", "validation split, on which the plans were chosen"),
            ("test", "test set, read once at the end; compressed networks as files read back from disk"),
        )
    ]
    return section(name, *figures, _table(runs))


def _table(runs: Sequence[Run]) -> str:
    columns = ["network:", "budget, bytes", "bytes (file)", "validation accuracy", "test accuracy",
               "over uniform, points", "times smaller", "bits (paper)"]  # fmt: skip
    rows = [_row(name, run, measured) for run in runs for name, measured in _measured(run)]
    uncompressed = dict.fromkeys(run.uncompressed for run in runs)
    rows += [_row("uncompressed (float32)", runs[0], measured) for measured in uncompressed]
    note = paragraph(
        "Mean ± sample standard deviation over the seeds. Over uniform: difference of the mean validation accuracies.",
        kind="note",
    )
    return table(columns, rows, total=len(uncompressed)) + note


def _row(name: str, run: Run, measured: Measured) -> list[str]:
    ahead = ""
    if measured is run.searched and run.uniform is not None:
        ahead = f"{100 * (measured.validation.mean - run.uniform.validation.mean):+.2f}"
    return [
        name,
        "–" if run.budget_bytes is None or measured.paper_bits is None else f"{run.budget_bytes:,}",
        f"{measured.bytes:,}",
        words.percent(measured.validation),
        words.percent(measured.test),
        ahead,
        words.times_smaller(run, measured),
        "–" if measured.paper_bits is None else f"{measured.paper_bits:,}",
    ]


def _series(run: Run) -> str:
    return "given plan" if run.strategy is None else f"searched ({run.strategy})"


def _measured(run: Run) -> Iterator[tuple[str, Measured]]:
    yield _series(run), run.searched
    if run.uniform is not None:
        yield "best uniform", run.uniform


def accuracy(runs: Sequence[Run], split: str) -> Plot:
    """Accuracy on the split against file bytes: a line for each strategy, for uniform, a band for uncompressed."""
    series: dict[str, list[tuple[int, Sample]]] = {}
    for run in runs:
        for name, measured in _measured(run):
            series.setdefault(name, []).append((measured.bytes, getattr(measured, split)))
    uniform = series.pop("best uniform", [])
    whole = [getattr(measured, split) for measured in dict.fromkeys(run.uncompressed for run in runs)]

    def plot(theme: Theme) -> Figure:
        fig = figure(3.6)
        ax = fig.subplots()
        colours = cycle((theme.searched, *theme.further))
        shown = [
            _line(ax, points, name, colour, marker, theme)
            for (name, points), colour, marker in zip(series.items(), colours, cycle(MARKERS), strict=False)
        ]
        if uniform:
            shown.append(_line(ax, uniform, "best uniform", theme.uniform, "s", theme))
        shown += [_band(ax, sample, theme) for sample in whole if sample is not None][:1]
        sizes = [size for points in (*series.values(), uniform) for size, _ in points]
        byte_axis(ax, min(sizes), max(sizes))
        ax.set(xlabel="bytes of the file", ylabel=f"{split} accuracy (%)")
        legend_above(fig, ax, 2, shown)
        return fig

    return plot


def _line(ax: Axes, points: Sequence[tuple[int, Sample]], label: str, colour: str, marker: str, theme: Theme) -> Artist:
    points = sorted(points, key=lambda point: point[0])
    sizes, means = [size for size, _ in points], [100 * sample.mean for _, sample in points]
    spreads = [100 * sample.spread for _, sample in points]
    for size, sample in points:
        values = [100 * value for value in sample.values]
        ax.plot([size] * len(values), values, ".", ms=4, color=colour, alpha=0.5, mew=0)
    look = {"color": colour, "mec": theme.paper, "ms": 6.5, "capsize": 3, "elinewidth": 1.2}
    return ax.errorbar(sizes, means, spreads, fmt=f"{marker}-", label=label, **look)


def _band(ax: Axes, sample: Sample, theme: Theme) -> Artist:
    mean, spread = 100 * sample.mean, 100 * sample.spread
    ax.axhspan(mean - spread, mean + spread, color=theme.plain, alpha=0.2, lw=0)
    return ax.axhline(mean, color=theme.plain, ls="--", lw=1.3, label="uncompressed (float32)")
