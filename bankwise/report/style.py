"""How figures look: two themes, one for the light page and for paper, one for the dark page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bankwise.printable import printable

SCREEN = 110  # dots an inch
WIDTH = 4.7  # inches: narrow, so that text of 8.5 points stays readable on a phone


@dataclass(frozen=True)
class Theme:
    """Colours. `searched`, `uniform` and `plain` (uncompressed) mean the same in every figure; `parts` are by name."""

    paper: str
    ink: str
    muted: str
    grid: str
    soft: str  # background of cards
    searched: str
    uniform: str
    plain: str
    parts: dict[str, str]
    further: tuple[str, ...]  # for parts without a colour of their own, and for further strategies


LIGHT = Theme(
    paper="#ffffff", ink="#1f2328", muted="#5c6670", grid="#dfe3e8", soft="#f5f7f9",
    searched="#0067a5", uniform="#d1500a", plain="#6b7580",
    parts={
        "bank": "#0067a5", "indices": "#6fb7e6", "coefficients": "#4b4acb", "signs": "#0f8f6c", "levels": "#e0a100",
        "factors": "#8a5a00", "values": "#c8553d", "scale, bias": "#c07ab0", "batch norm": "#8d7f4f",
        "kept tensors": "#59636e", "header": "#b4bcc5",
    },
    further=("#7a4fa3", "#0f8f6c", "#a8327d", "#4f6d1e"),
)  # fmt: skip
DARK = Theme(
    paper="#15191e", ink="#e6eaee", muted="#9aa5b1", grid="#323a44", soft="#1d232a",
    searched="#58b4f0", uniform="#ff9655", plain="#a3adb8",
    parts={
        "bank": "#3d9be0", "indices": "#a3d4f5", "coefficients": "#8f8ff0", "signs": "#35b890", "levels": "#e8b93c",
        "factors": "#b07d2a", "values": "#e58068", "scale, bias": "#d59bc8", "batch norm": "#b3a56e",
        "kept tensors": "#7f8a96", "header": "#57616c",
    },
    further=("#b48be0", "#35b890", "#e07fbd", "#a3c55f"),
)  # fmt: skip

FONT = 8.5  # points


def label(text: object) -> str:
    """The text as a figure shows it literally: matplotlib would read what stands between two "$" as mathematics."""
    return printable(text).replace("$", r"\$")


class Shown(Figure):
    """A figure that a notebook shows, whether or not it has set matplotlib up."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=SCREEN, metadata={"Software": None})
        return buffer.getvalue()


def figure(theme: Theme, height: float) -> Figure:
    """An empty figure of the common width; `height` in inches."""
    return Shown(figsize=(WIDTH, height), layout="constrained", facecolor=theme.paper)


def axes(fig: Figure, theme: Theme, rows: int = 1, columns: int = 1, **layout: Any) -> list[Axes]:
    """Axes in the theme, row by row. It is set on the axes alone: matplotlib's global settings stay as they are."""
    made = list(fig.subplots(rows, columns, squeeze=False, **layout).flat)
    for ax in made:
        ax.set_facecolor(theme.paper)
        ax.spines[["top", "right"]].set_visible(False)
        for spine in ax.spines.values():
            spine.set(color=theme.muted, linewidth=0.8)
        ax.tick_params(which="both", color=theme.muted, labelcolor=theme.ink, labelsize=8)
        ax.grid(True, color=theme.grid, linewidth=0.7)
        ax.set_axisbelow(True)
        for text in (ax.xaxis.label, ax.yaxis.label):
            text.set(color=theme.ink, size=FONT)
    return made


def title(ax: Axes, theme: Theme, text: str, loc: Literal["left", "center"] = "center") -> None:
    ax.set_title(text, loc=loc, color=theme.ink, fontsize=9)


def rows_height(count: int) -> float:
    """Inches for that many rows of layers; closer together where they are many."""
    return count * (0.22 if count <= 24 else 0.165)


def legend_above(fig: Figure, theme: Theme, columns: int, handles: Sequence[Artist], **form: Any) -> None:
    """One legend for the figure, above the plot, where it hides nothing."""
    spacing = {"handletextpad": 0.5, "columnspacing": 1.4, **form}
    look = {"frameon": False, "fontsize": 8, "labelcolor": theme.ink}
    fig.legend(handles=handles, loc="outside upper center", ncols=columns, **look, **spacing)


def size_text(size: float) -> str:
    for unit, name in ((2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size:g} B"


def byte_axis(ax: Axes, low: float, high: float) -> None:
    """A logarithmic x axis of bytes, marked at powers of two, with halves between where the range is short."""
    ax.set_xscale("log", base=2)
    low, high = low / 2**0.15, high * 2**0.15
    ax.set_xlim(low, high)
    octaves = math.log2(high / low)
    if octaves < 1.2:
        _plain_marks(ax.xaxis)
        return
    powers = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
    if octaves < 3:
        ticks = [factor * 2.0**power for power in powers for factor in (1, 1.5)]
    else:
        step = math.ceil(octaves / 7)
        ticks = [2.0**power for power in powers if power % step == 0]
    ax.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_text(value)))
    ax.xaxis.set_minor_locator(NullLocator())


def positive_axis(ax: Axes, name: str, values: Sequence[float]) -> None:
    """A logarithmic axis ("x" or "y") that shows the values, marked by plain round numbers."""
    decades = math.log10(max(values) / min(values))
    margin = 10 ** max(0.05 * decades, 0.03)
    getattr(ax, f"set_{name}scale")("log")
    getattr(ax, f"set_{name}lim")(min(values) / margin, max(values) * margin)
    axis = ax.yaxis if name == "y" else ax.xaxis
    if decades < 0.25:
        _plain_marks(axis)
        return
    rounds = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if decades < 0.85 else (1, 2, 5) if decades < 3 else (1,)
    axis.set_major_locator(LogLocator(10, subs=rounds))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _plain_marks(axis: Axis) -> None:
    """Evenly spaced round numbers: what a short piece of a logarithmic axis needs."""
    axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
