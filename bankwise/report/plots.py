"""The figures of one run. Every function takes its data and gives a plot, which is drawn in a theme."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bankwise.report import words
from bankwise.report.closed_form import ClosedForm, Spot
from bankwise.report.gather import Run, Trial
from bankwise.report.parts import Parts, part_names, rows
from bankwise.report.style import Plot, Theme, byte_axis, figure, legend_above, positive_axis, rows_height


def staircase(form: ClosedForm, budget: int) -> Plot:
    """Best mean rate against bytes and the budget; above all of it, below the part where the run's plans lie."""
    uniform = [] if form.uniform is None else [form.uniform]
    plans = [*form.trials, *uniform, form.searched]
    sizes = [max(1, spot.bytes) for spot in (*form.steps, *plans)]
    near = [spot.bytes for spot in plans] + [budget]
    margin = max(0.06 * (max(near) - min(near)), 0.004 * budget)

    def plot(theme: Theme) -> Figure:
        fig = figure(5.4)
        whole, zoom = fig.subplots(2, 1, height_ratios=(1, 0.9))
        byte_axis(whole, min(sizes), max(*sizes, budget))
        positive_axis(whole, "y", [spot.rate for spot in (*form.steps, *plans)])
        zoom.set_xlim(min(near) - margin, max(near) + margin)
        zoom.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        zoom.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        positive_axis(zoom, "y", [spot.rate for spot in (*plans, form.optimum)])
        xs, ys = [step.bytes for step in form.steps], [step.rate for step in form.steps]
        xs, ys = [*xs, whole.get_xlim()[1]], [*ys, ys[-1]]  # more bytes buy nothing
        what = "of the file" if form.accounting == "file" else "of banks and indices (paper)"
        for ax, title in ((whole, "the whole staircase"), (zoom, "at the budget")):
            ax.step(xs, ys, where="post", color=theme.plain, label="best possible (closed form)")
            ax.axvline(budget, color=theme.ink, lw=0.9, ls=(0, (4, 3)), zorder=1.5, label=f"budget {budget:,} bytes")
            _spots(ax, uniform, "s", "best uniform plan", mfc=theme.uniform, mec=theme.paper)
            _spots(ax, [form.searched], "D", "searched plan", mfc=theme.searched, mec=theme.paper)
            ax.set(xlabel=f"bytes {what}", ylabel="geometric mean rate\n(index bits per weight)")
            ax.set_title(title, loc="left")
        _spots(zoom, form.trials, "o", "plans tried", ms=3.6, mfc="none", mec=theme.searched)
        legend_above(fig, zoom, 2)
        return fig

    return plot


def _spots(ax: Axes, spots: Sequence[Spot], marker: str, label: str, **look: object) -> None:
    if spots:
        places = [spot.bytes for spot in spots], [spot.rate for spot in spots]
        ax.plot(*places, marker, label=label, **{"ms": 6.5, **look})


def _layer_axis(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)


def _at_bar(ax: Axes, end: float, y: float, text: str) -> None:
    """Write a bar's value behind it."""
    ax.annotate(text, (end, y), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5)


def bytes_by_part(run: Run) -> Plot:
    """Stacked bars of every layer and of what no choice changes, searched beside uniform."""
    panels = [(words.plan_name(run).lower(), run.price)]
    panels += [("best uniform plan", run.uniform_price)] if run.uniform_price is not None else []
    names = part_names([price for _, price in panels])
    most = max(sum(parts.values()) for _, price in panels for _, parts in rows(price))

    def plot(theme: Theme) -> Figure:
        lines = rows(run.price)
        fig = figure(1.6 + rows_height(len(lines)))
        further = cycle(theme.further)
        colours = {name: theme.parts[name] if name in theme.parts else next(further) for name in names}
        for ax, (title, price) in zip(fig.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
            _stacks(ax, [parts for _, parts in rows(price)], colours)
            _layer_axis(ax, [name for name, _ in lines])
            ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            ax.set(xlim=(0, 1.28 * most), xlabel="bytes in the file", title=f"{title}\n{price.file_bytes:,} bytes")
        keys = [Patch(color=colours[name], label=name) for name in names]
        columns = len(names) if len(names) < 5 else -(-len(names) // 2)
        fig.legend(handles=keys, loc="outside upper center", ncols=columns, handlelength=1, columnspacing=1.2)
        return fig

    return plot


def _stacks(ax: Axes, bars: Sequence[Parts], colours: dict[str, str]) -> None:
    """A bar a row, of its parts in the order of the colours, and the sum behind it."""
    ends = [0] * len(bars)
    for name, colour in colours.items():
        held = [y for y, parts in enumerate(bars) if parts.get(name)]
        sizes = [bars[y][name] for y in held]
        ax.barh(held, sizes, left=[ends[y] for y in held], height=0.72, color=colour)
        for y, size in zip(held, sizes, strict=True):
            ends[y] += size
    for y, end in enumerate(ends):
        _at_bar(ax, end, y, f"{end:,}")


def bits_per_weight(run: Run) -> Plot:
    """File bits per weight of each layer, the searched plan against the uniform one."""
    places = range(len(run.price.layers))
    searched = [8 * layer.file_bytes / layer.weights for layer in run.price.layers]
    uniform = [8 * layer.file_bytes / layer.weights for layer in run.uniform_price.layers] if run.uniform_price else []

    def plot(theme: Theme) -> Figure:
        fig = figure(1.2 + rows_height(len(searched)))
        ax = fig.subplots()
        positive_axis(ax, "x", searched + uniform)
        if uniform:
            ax.hlines(places, searched, uniform, color=theme.muted, lw=1.4, zorder=1)
            edge = {"mfc": theme.paper, "mec": theme.uniform, "mew": 1.6}
            ax.plot(uniform, places, "s", ms=8, label="best uniform plan", **edge)
        ax.plot(searched, places, "D", ms=4.6, color=theme.searched, label=words.plan_name(run).lower())
        _layer_axis(ax, [f"{layer.name}  {words.filters(layer)}" for layer in run.shape.layers])
        ax.set_xlabel("bits per weight in the file")
        if uniform:
            legend_above(fig, ax, 2)
        return fig

    return plot


def history(run: Run) -> Plot:
    """Accuracy of the trials in their order, with the best so far."""
    count = max(len(run.trials), len(run.uniform_trials))

    def plot(theme: Theme) -> Figure:
        fig = figure(3.3)
        ax = fig.subplots()
        _trials(ax, run.trials, "searched", "D", theme.searched, theme)
        _trials(ax, run.uniform_trials, "uniform", "s", theme.uniform, theme)
        ax.set(xlabel="trial, in order", ylabel="validation accuracy (%)", xlim=(0.4, count + 0.6))
        ax.xaxis.set_major_locator(MaxNLocator(min(count, 10), integer=True, min_n_ticks=1))
        legend_above(fig, ax, 2 if run.uniform_trials else 3)
        return fig

    return plot


def _trials(ax: Axes, trials: Sequence[Trial], label: str, marker: str, colour: str, theme: Theme) -> None:
    if not trials:
        return
    numbers = [*range(1, len(trials) + 1)]
    right = [100 * trial.accuracy for trial in trials]
    best = list(accumulate(right, max))
    line = [*numbers, len(trials) + 0.5], [*best, best[-1]]
    ax.step(*line, where="post", color=colour, lw=1.4, label=f"{label}, best so far")
    size = 5 if len(trials) <= 40 else 3.5
    ax.plot(numbers, right, marker, ms=size, color=colour, mec=theme.paper, mew=0.7, label=f"{label}, trial")
    full = [(number, 100 * trial.full) for number, trial in enumerate(trials, 1) if trial.full is not None]
    for number, after in full:
        ax.plot([number, number], [right[number - 1], after], color=colour, lw=0.9, ls=":")
    if full:
        edge = {"mfc": theme.paper, "mec": colour, "mew": 1.5}
        ax.plot(*zip(*full, strict=True), marker, ms=6.5, label=f"{label}, finalist in full", **edge)


def next_kib(form: ClosedForm) -> Plot:
    """Relative gain of the mean rate by one more KiB: shared by all, or spent in one layer alone where that gains."""
    alone = [layer for layer in form.layers if layer.gain > 0]
    names = ["all layers together", *(layer.name for layer in alone)]
    gains = [form.gain, *(layer.gain for layer in alone)]

    def plot(theme: Theme) -> Figure:
        fig = figure(0.9 + rows_height(len(names)))
        ax = fig.subplots()
        colours = [theme.searched] + [theme.plain] * len(alone)
        ax.barh(range(len(names)), [100 * gain for gain in gains], height=0.72, color=colours)
        for y, gain in enumerate(gains):
            _at_bar(ax, 100 * gain, y, words.gain(gain))
        _layer_axis(ax, names)
        ax.set(xlabel="gain of the geometric mean rate by 1 KiB more (%)", xlim=(0, 118 * max(gains)))
        return fig

    return plot
