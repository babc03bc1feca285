"""The figures of a report. Every function takes data and gives a matplotlib figure; drawing it is the caller's part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, cycle

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bankwise.measuring import Sample
from bankwise.report import words
from bankwise.report.closed_form import ClosedForm, PlanPoint
from bankwise.report.model import Model
from bankwise.report.parts import Parts, part_names, rows
from bankwise.report.style import (
    LIGHT,
    Theme,
    axes,
    byte_axis,
    figure,
    label,
    legend_above,
    positive_axis,
    rows_height,
    title,
)
from bankwise.result import Trial
from bankwise.search_space.price import Price
from bankwise.search_space.shape import NetworkShape
from bankwise.shown import metric_name
from bankwise.trainers.metric import SHARES

UNIFORM = "best uniform"  # the name of the baseline's series, which has a colour and a mark of its own
MARKERS = "D^vPX"
LINE = 1.6  # points
THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}")


def staircase(form: ClosedForm, budget: int, name: str = "searched plan", theme: Theme = LIGHT) -> Figure:
    """Best mean capture against bytes, and the budget (bytes); above all of it, below the part around the plans. `name`
    is that of the run's plan."""
    uniform = [] if form.uniform is None else [form.uniform]
    plans = [*form.trials, *uniform, form.searched]
    sizes = [max(1, point.bytes) for point in (*form.steps, *plans)]
    near = [point.bytes for point in plans] + [budget]
    margin = max(0.06 * (max(near) - min(near)), 0.004 * budget)

    fig = figure(theme, 5.4)
    whole, zoom = axes(fig, theme, 2, height_ratios=(1, 0.9))
    byte_axis(whole, min(sizes), max(*sizes, budget))
    positive_axis(whole, "y", [point.capture for point in (*form.steps, *plans)])
    zoom.set_xlim(min(near) - margin, max(near) + margin)
    zoom.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    zoom.xaxis.set_major_formatter(THOUSANDS)
    positive_axis(zoom, "y", [point.capture for point in (*plans, form.optimum)])
    xs, ys = [step.bytes for step in form.steps], [step.capture for step in form.steps]
    xs, ys = [*xs, whole.get_xlim()[1]], [*ys, ys[-1]]  # the last step is the best plan of the space
    for ax, heading in ((whole, "the whole staircase"), (zoom, "at the budget")):
        ax.step(xs, ys, where="post", color=theme.plain, lw=LINE, label="best possible (closed form)")
        ax.axvline(budget, color=theme.ink, lw=0.9, ls=(0, (4, 3)), zorder=1.5, label=f"budget {budget:,} bytes")
        _points(ax, uniform, "s", "best uniform plan", mfc=theme.uniform, mec=theme.paper)
        marker, colour = _look(name, theme)
        _points(ax, [form.searched], marker, label(name), mfc=colour, mec=theme.paper)
        ax.set(xlabel=f"bytes, {form.accounting} accounting", ylabel="mean capture\n(share of the weights)")
        title(ax, theme, heading, "left")
    _points(zoom, form.trials, "o", "plans tried", ms=3.6, mfc="none", mec=theme.searched)
    legend_above(fig, theme, 2, zoom.get_legend_handles_labels()[0])
    return fig


def _points(ax: Axes, points: Sequence[PlanPoint], marker: str, name: str, **look: object) -> None:
    if points:
        places = [point.bytes for point in points], [point.capture for point in points]
        ax.plot(*places, marker, label=name, **{"ms": 6.5, **look})


def _look(name: str, theme: Theme) -> tuple[str, str]:
    """Marker and colour of the run's plan: a uniform one looks as uniform ones do."""
    return ("s", theme.uniform) if name.lower().startswith("uniform") else ("D", theme.searched)


def bytes_by_part(plans: Mapping[str, Price], theme: Theme = LIGHT) -> Figure:
    """Stacked bars of the bytes of every layer and of what no choice changes; a panel for each named plan."""
    names = part_names([*plans.values()])
    lines = [name for name, _ in rows(next(iter(plans.values())))]
    most = max(sum(parts.values()) for price in plans.values() for _, parts in rows(price))

    fig = figure(theme, 1.6 + rows_height(len(lines)))
    further = cycle(theme.further)
    colours = {name: theme.parts[name] if name in theme.parts else next(further) for name in names}
    panels = axes(fig, theme, 1, len(plans), sharey=True)
    for ax, (name, price) in zip(panels, plans.items(), strict=True):
        _stacks(ax, [parts for _, parts in rows(price)], colours, theme)
        _layer_axis(ax, lines)
        ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        ax.xaxis.set_major_formatter(THOUSANDS)
        ax.set(xlim=(0, 1.28 * most), xlabel="bytes in the file")
        title(ax, theme, f"{label(name)}\n{price.file_bytes:,} bytes")
    keys = [Patch(color=colours[name], label=label(name)) for name in names]
    columns = len(names) if len(names) < 5 else -(-len(names) // 2)
    legend_above(fig, theme, columns, keys, handlelength=1, handletextpad=0.8, columnspacing=1.2)
    return fig


def _layer_axis(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), [label(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)


def _stacks(ax: Axes, bars: Sequence[Parts], colours: Mapping[str, str], theme: Theme) -> None:
    """A bar a row, of its parts in the order of the colours, and the sum behind it."""
    ends = [0] * len(bars)
    for name, colour in colours.items():
        present = [y for y, parts in enumerate(bars) if parts.get(name)]
        sizes = [bars[y][name] for y in present]
        ax.barh(present, sizes, left=[ends[y] for y in present], height=0.72, color=colour)
        for y, size in zip(present, sizes, strict=True):
            ends[y] += size
    for y, end in enumerate(ends):
        _behind_bar(ax, end, y, f"{end:,}", theme)


def _behind_bar(ax: Axes, end: float, y: float, text: str, theme: Theme) -> None:
    place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
    ax.annotate(text, (end, y), **place, fontsize=7.5, color=theme.ink)


def bits_per_weight(shape: NetworkShape, plans: Mapping[str, Price], theme: Theme = LIGHT) -> Figure:
    """File bits per weight of each layer, of one named plan or of two: the searched one first, then the uniform one."""
    places = range(len(shape.layers))
    series = [
        (label(name), [8 * row.file_bytes / row.weights for row in price.layers]) for name, price in plans.items()
    ]
    (name, searched), *others = series

    fig = figure(theme, 1.2 + rows_height(len(searched)))
    (ax,) = axes(fig, theme)
    positive_axis(ax, "x", [bits for _, values in series for bits in values])
    for other, uniform in others:
        ax.hlines(places, searched, uniform, color=theme.muted, lw=1.4, zorder=1)
        ax.plot(uniform, places, "s", ms=8, label=label(other), mfc=theme.paper, mec=theme.uniform, mew=1.6)
    marker, colour = _look(next(iter(plans)), theme)
    ax.plot(searched, places, marker, ms=4.6, color=colour, label=label(name))
    _layer_axis(ax, [f"{layer.name}  {words.filters(layer)}" for layer in shape.layers])
    ax.set_xlabel("bits per weight in the file")
    if others:
        legend_above(fig, theme, 2, ax.get_legend_handles_labels()[0])
    return fig


def history(
    trials: Sequence[Trial], uniform_trials: Sequence[Trial] = (), metric: str = "accuracy", theme: Theme = LIGHT
) -> Figure:
    """The metric of the trials in their order, with the best so far."""
    count = max(len(trials), len(uniform_trials))
    fig = figure(theme, 3.3)
    (ax,) = axes(fig, theme)
    scale, unit = _scale(metric)
    _trials(ax, trials, "searched", "D", theme.searched, theme, scale)
    _trials(ax, uniform_trials, "uniform", "s", theme.uniform, theme, scale)
    ax.set(xlabel="trial, in order", ylabel=f"validation {label(metric_name(metric))}{unit}", xlim=(0.4, count + 0.6))
    ax.xaxis.set_major_locator(MaxNLocator(min(count, 10), integer=True, min_n_ticks=1))
    legend_above(fig, theme, 2 if uniform_trials else 3, ax.get_legend_handles_labels()[0])
    return fig


def _scale(metric: str) -> tuple[float, str]:
    """What values of the metric are multiplied by, and what is written behind its name."""
    return (100, " (%)") if metric in SHARES else (1, "")


def _trials(ax: Axes, trials: Sequence[Trial], name: str, marker: str, colour: str, theme: Theme, scale: float) -> None:
    if not trials:
        return
    numbers = [*range(1, len(trials) + 1)]
    accuracies = [scale * trial.accuracy for trial in trials]
    best = list(accumulate(accuracies, max))
    line = [*numbers, len(trials) + 0.5], [*best, best[-1]]
    ax.step(*line, where="post", color=colour, lw=1.4, label=f"{name}, best so far")
    size = 5 if len(trials) <= 40 else 3.5
    ax.plot(numbers, accuracies, marker, ms=size, color=colour, mec=theme.paper, mew=0.7, label=f"{name}, trial")
    full = [(number, scale * trial.full) for number, trial in enumerate(trials, 1) if trial.full is not None]
    for number, after in full:
        ax.plot([number, number], [accuracies[number - 1], after], color=colour, lw=0.9, ls=":")
    if full:
        edge = {"mfc": theme.paper, "mec": colour, "mew": 1.5}
        ax.plot(*zip(*full, strict=True), marker, ms=6.5, label=f"{name}, finalist in full", **edge)


def next_kib(form: ClosedForm, theme: Theme = LIGHT) -> Figure:
    """Relative gain of the mean capture by one more KiB: of all layers together, and of each layer alone that gains."""
    alone = [layer for layer in form.layers if layer.gain > 0]
    names = ["all layers together", *(layer.name for layer in alone)]
    gains = [form.gain, *(layer.gain for layer in alone)]

    fig = figure(theme, 0.9 + rows_height(len(names)))
    (ax,) = axes(fig, theme)
    colours = [theme.searched] + [theme.plain] * len(alone)
    ax.barh(range(len(names)), [100 * gain for gain in gains], height=0.72, color=colours)
    for y, gain in enumerate(gains):
        _behind_bar(ax, 100 * gain, y, words.gain(gain), theme)
    _layer_axis(ax, names)
    ax.set(xlabel="gain of the mean capture by 1 KiB more (%)", xlim=(0, 118 * max(gains)))
    return fig


def worth(model: Model, theme: Theme = LIGHT) -> Figure:
    """What some bytes more or fewer at one layer alone are worth by the model, in points, with the interval."""
    fig = figure(theme, 1.2 + rows_height(len(model.layers)))
    (ax,) = axes(fig, theme)
    ax.axvline(0, color=theme.ink, lw=0.9, zorder=1.5)
    sides = (("more", ">", theme.searched, -0.16), ("fewer", "<", theme.plain, 0.16))
    for name, marker, colour, shift in sides:
        found = [(y + shift, one) for y, layer in enumerate(model.layers) if (one := getattr(layer, name)) is not None]
        if found:
            places, means = [y for y, _ in found], [100 * one.gain for _, one in found]
            reach = [
                [100 * abs(end - one.gain) for _, one in found for end in [getattr(one, at)]] for at in ("low", "high")
            ]
            look = {"color": colour, "mec": theme.paper, "ms": 7, "elinewidth": 1.4}
            ax.errorbar(means, places, xerr=reach, fmt=marker, label=f"{model.bytes:,} bytes {name}", **look)
    _layer_axis(ax, [layer.name for layer in model.layers])
    ax.set_xlabel("points of validation accuracy (%)")
    legend_above(fig, theme, 2, ax.get_legend_handles_labels()[0])
    return fig


def accuracy(
    series: Mapping[str, Sequence[tuple[int, Sample]]],
    uncompressed: Sample | None = None,
    split: str = "validation",
    metric: str = "accuracy",
    theme: Theme = LIGHT,
) -> Figure:
    """The metric on the split against bytes of the file, (bytes, values) a point: marks of one kind for each named
    series, the one called "best uniform" last, and a band for the uncompressed network. No line joins separate runs."""
    fig = figure(theme, 3.6)
    (ax,) = axes(fig, theme)
    looks = zip(cycle((theme.searched, *theme.further)), cycle(MARKERS), strict=False)
    scale, unit = _scale(metric)
    shown = [
        _marks(ax, points, name, *look, theme, scale)
        for (name, points), look in zip((pair for pair in series.items() if pair[0] != UNIFORM), looks, strict=False)
    ]
    if UNIFORM in series:
        shown.append(_marks(ax, series[UNIFORM], UNIFORM, theme.uniform, "s", theme, scale))
    if uncompressed is not None:
        shown.append(_band(ax, uncompressed, theme, scale))
    sizes = [size for points in series.values() for size, _ in points]
    byte_axis(ax, min(sizes), max(sizes))
    ax.set(xlabel="bytes of the file", ylabel=f"{split} {label(metric_name(metric))}{unit}")
    legend_above(fig, theme, 2, shown)
    return fig


def _marks(
    ax: Axes, points: Sequence[tuple[int, Sample]], name: str, colour: str, marker: str, theme: Theme, scale: float
) -> Artist:
    points = sorted(points, key=lambda point: point[0])
    sizes, means = [size for size, _ in points], [scale * sample.mean for _, sample in points]
    spreads = [scale * (sample.spread or 0) for _, sample in points]
    for size, sample in points:
        values = [scale * value for value in sample.values]
        ax.plot([size] * len(values), values, ".", ms=4, color=colour, alpha=0.5, mew=0)
    look = {"color": colour, "mec": theme.paper, "ms": 6.5, "capsize": 3, "elinewidth": 1.2}
    return ax.errorbar(sizes, means, spreads, fmt=marker, label=label(name), **look)


def _band(ax: Axes, sample: Sample, theme: Theme, scale: float) -> Artist:
    mean, spread = scale * sample.mean, scale * (sample.spread or 0)
    ax.axhspan(mean - spread, mean + spread, color=theme.plain, alpha=0.2, lw=0)
    return ax.axhline(mean, color=theme.plain, ls="--", lw=1.3, label="uncompressed (float32)")
