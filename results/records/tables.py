"""Table and picture of a data set's records, with what others published beside them."""

from __future__ import annotations

import statistics

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from results.records.ladders import Ladder

HEADS = (
    "up to bytes", "network", "file bytes", "device bytes", "validation %", "test %, of the files",
    "float32, validation %", "epochs", "PFLOP a seed", "minutes a seed",
)  # fmt: skip
METHODS = (
    "up to bytes",
    "method",
    "network",
    "file bytes",
    "validation %",
    "test %, of the files",
    "float32, validation %",
    "epochs",
)
OURS = "closed form"
OTHERS = ("published", "test %", "bytes", "which count", "training", "read in")


def _two(values: list[float]) -> str:
    return f"{100 * statistics.fmean(values):.2f} ± {100 * statistics.stdev(values):.2f}"


def _shown(name: str) -> str:
    """A method's name; what a row is trained longer for stands as "60-epochs"."""
    return f"{OURS}, {name.replace('-', ' ')}" if _longer(name) else name


def _longer(name: str) -> bool:
    """Whether it is a row's plan, trained longer, not another method."""
    return name.endswith("-epochs")


def _ours(found: dict[int, dict]) -> list[dict]:
    """The rows, and their plans trained longer."""
    beside = [one for row in found.values() for name, one in row.get("compared", {}).items() if _longer(name)]
    return [*found.values(), *beside]


def _lines(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [list(heads), ["---"] * len(heads), *rows]) + "\n"


def table(ladder: Ladder, found: dict[int, dict]) -> str:
    """Rows that are through, what goals they reach, and the published ones."""
    rows = [
        [
            f"{size:,}", one["network"], f"{one['file_bytes']:,}", f"{one['device_bytes']:,}", _two(one["accuracies"]),
            _two(one["test_accuracies"]), _two(one["float_accuracies"]), f"{ladder.floating} + {ladder.full}",
            f"{one['petaflop']:.3f}", f"{one['seconds'] / 60:.1f}",
        ]
        for size, one in found.items()
    ]  # fmt: skip
    text = _lines(HEADS, rows)
    if ladder.note:
        text += f"\n{ladder.note}\n"
    if missing := [f"{size:,}" for size in ladder.networks if size not in found]:
        text += f"\nNot through yet: {', '.join(missing)} bytes.\n"
    for size, one in found.items():
        if waiting := [_shown(name) for name in ladder.beside(size) if name not in one.get("compared", {})]:
            text += f"\nNot through yet beside the row of {size:,} bytes: {', '.join(waiting)}.\n"
    for goal in ladder.goals:
        there = [one["file_bytes"] for one in _ours(found) if 100 * statistics.fmean(one["test_accuracies"]) >= goal]
        reached = f"{min(there):,} bytes" if there else "no row that is through"
        text += f"\nFewest bytes with a mean test accuracy of {goal:g} %: {reached}.\n"
    compared = [
        [
            f"{size:,}", _shown(method), one["network"], f"{one['file_bytes']:,}", _two(one["accuracies"]),
            _two(one["test_accuracies"]), _two(one["float_accuracies"]),
            f"{ladder.floating} + {one.get('epochs', ladder.full)}",
        ]
        for size, row in found.items()
        if row.get("compared")
        for method, one in {OURS: row, **row["compared"]}.items()
    ]  # fmt: skip
    if compared:
        text += f"\nIn as many bytes:\n\n{_lines(METHODS, compared)}"
    others = [
        [one.method, f"{one.accuracy:g}", f"{one.bytes_:,}", one.counts, one.training, one.source]
        for one in ladder.published
    ]
    return f"{text}\n{_lines(OTHERS, others)}"


def draw(ladder: Ladder, found: dict[int, dict]) -> Figure:
    figure = Figure(figsize=(6.8, 4.4), layout="constrained")
    axes = figure.subplots()
    tests = [[100 * value for value in one["test_accuracies"]] for one in found.values()]
    means, spreads = [statistics.fmean(one) for one in tests], [statistics.stdev(one) for one in tests]
    for key, style, label in (("file_bytes", "o-", "whole file"), ("device_bytes", "o:", "constants of the C sources")):
        sizes = [one[key] / 1000 for one in found.values()]
        axes.errorbar(sizes, means, spreads, fmt=style, capsize=3, color="C0", label=f"bankwise, {label}")
    methods = list(dict.fromkeys(name for row in found.values() for name in row.get("compared", ())))
    for name, marker in zip(methods, "XPDhp8", strict=False):
        rows = [row["compared"][name] for row in found.values() if name in row.get("compared", ())]
        tested = [[100 * value for value in one["test_accuracies"]] for one in rows]
        axes.errorbar(
            [one["file_bytes"] / 1000 for one in rows],
            [statistics.fmean(one) for one in tested],
            [statistics.stdev(one) for one in tested],
            fmt=marker, ms=7, capsize=3, zorder=3,
            color="C0" if _longer(name) else "0.35", label=f"{_shown(name)}, whole file",
        )  # fmt: skip
    for number, method in enumerate(dict.fromkeys(one.method for one in ladder.published)):
        mine = [one for one in ladder.published if one.method == method]
        axes.plot(
            [one.bytes_ / 1000 for one in mine], [one.accuracy for one in mine],
            "sv^<>dP"[number % 7], color=f"C{number + 1}", label=f"{method}: {mine[0].counts}",
        )  # fmt: skip
    axes.set(xscale="log", xlabel="kB (1,000 bytes)", ylabel="test accuracy (%)", title=ladder.name)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
