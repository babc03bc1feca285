"""Charts of a page as SVG: marks and lines that say what they are when they are pointed at. Colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from bankwise.printable import printable
from bankwise.report.style import size_text

WIDTH, HEIGHT = 460, 300  # units of the view box: text of 12 stays readable on a phone
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 28, 44
MOST = 1e12  # of a value on an axis: a metric of a user's own may be anything
MARKS = {  # paths around (0, 0)
    "dot": "M-2.6,0a2.6,2.6 0 1,0 5.2,0a2.6,2.6 0 1,0 -5.2,0Z",
    "circle": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "square": "M-4.6,-4.6H4.6V4.6H-4.6Z",
    "diamond": "M0,-6.4L6.4,0L0,6.4L-6.4,0Z",
    "ring": "M-9.5,0a9.5,9.5 0 1,0 19,0a9.5,9.5 0 1,0 -19,0Z",
}


@dataclass(frozen=True)
class Mark:
    """A mark of one of MARKS at (x, y); `look` are classes of the page's style, `tip` what it says."""

    x: float
    y: float
    mark: str
    look: str
    tip: str = ""


@dataclass(frozen=True)
class Line:
    """A line through the points (x, y); `tips` are those of the points, `tip` that of the line."""

    points: Sequence[tuple[float, float]]
    look: str
    tip: str = ""
    tips: Sequence[str] = ()


@dataclass(frozen=True)
class Level:
    """A dashed line across the chart."""

    y: float
    look: str
    tip: str


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, logarithmic or not, with marks at the `ticks`, (value, text)."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one."""
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def byte_axis(sizes: Iterable[float]) -> Axis:
    """An axis of bytes: logarithmic, marked at some powers of two, or linear where they are within a factor of two."""
    found = [max(size, 1) for size in sizes]
    if max(found) < 2 * min(found):
        margin = max(0.15 * (max(found) - min(found)), 0.01 * max(found))
        low, high = min(found) - margin, max(found) + margin
        step = max(1.0, _round((high - low) / 5))
        numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
        return Axis("bytes of the file", low, high, [(step * number, f"{step * number:,.0f}") for number in numbers])
    low, high = min(found) / 2**0.4, max(found) * 2**0.4
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    step = max(1, math.ceil(len(powers) / 6))
    ticks = [(2.0**power, size_text(2.0**power)) for power in powers if power % step == 0]
    return Axis("bytes of the file", low, high, ticks, log=True)


def value_axis(title: str, values: Iterable[float], percent: bool) -> Axis:
    """A linear axis around the values; in percent where these are shares."""
    found = [max(-MOST, min(MOST, value)) for value in values]
    low, high = min(found), max(found)
    margin = 0.06 * (high - low) or 0.01 * (abs(high) or 1)
    low, high = low - margin, high + margin
    step = _round((high - low) / 8)
    first = math.ceil(low / step)
    marks = [number * step for number in range(first, math.floor(high / step) + 1)]
    scale, unit = (100, " %") if percent else (1, "")
    digits = next(count for count in range(400) if math.isclose(round(step * scale, count), step * scale))
    return Axis(title, low, high, [(mark, f"{scale * mark:.{digits}f}{unit}") for mark in marks])


def count_axis(title: str, most: int) -> Axis:
    """1, 2, ... `most`."""
    step = max(1, math.ceil(_round(most / 6)))
    numbers = sorted({1, *range(step, most + 1, step)})
    return Axis(title, 0.6, most + 0.4, [(number, str(number)) for number in numbers])


def _round(value: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= value * (1 - 1e-9))


def chart(
    name: str,
    x: Axis,
    y: Axis,
    marks: Sequence[Mark] = (),
    lines: Sequence[Line] = (),
    levels: Sequence[Level] = (),
) -> str:
    """The chart as an SVG element, called `name`; later marks lie on earlier ones, and all of them on the lines."""

    def at(px: float, py: float) -> tuple[float, float]:
        across, up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + across * x.share(px), HEIGHT - BOTTOM - up * y.share(py)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(name)}">',
        *_grid(x, y, at),
    ]
    for level in levels:
        path = f"M{LEFT},{at(x.low, level.y)[1]:.1f}H{WIDTH - RIGHT}"
        parts.append(f'<g class="level {level.look}">{_title(level.tip)}<path d="{path}"/>')
        parts.append(f'<path class="hit" d="{path}"{_tip(level.tip)}/></g>')
    for line in lines:
        path = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in (at(*point) for point in line.points))
        parts.append(f'<g class="line {line.look}">{_title(line.tip)}<path d="{path}"/>')
        parts.append(f'<path class="hit" d="{path}"{_tip(line.tip)}/>')
        parts += [
            f'<path class="vertex" d="{MARKS["dot"]}" {_place(at(*point))}{_tip(tip)}/>'
            for point, tip in zip(line.points, line.tips, strict=False)
        ]
        parts.append("</g>")
    for mark in marks:
        place = _place(at(mark.x, mark.y))
        parts.append(
            f'<path class="mark {mark.look}" d="{MARKS[mark.mark]}" {place}{_tip(mark.tip)}>{_title(mark.tip)}</path>'
        )
    return "\n".join([*parts, "</svg>"])


def _grid(x: Axis, y: Axis, at: object) -> list[str]:
    assert callable(at)
    parts = []
    for value, text in x.ticks:
        across, _ = at(value, y.low)
        parts.append(f'<path class="grid" d="M{across:.1f},{TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{_text(text)}</text>')
    for value, text in y.ticks:
        _, up = at(x.low, value)
        parts.append(f'<path class="grid" d="M{LEFT},{up:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{_text(text)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{_text(x.title)}</text>')
    parts.append(f'<text x="{LEFT - 46}" y="14">{_text(y.title)}</text>')
    parts.append(f"<title>{_text(y.title)} against {_text(x.title)}</title>")
    return parts


def _place(point: tuple[float, float]) -> str:
    return f'transform="translate({point[0]:.1f},{point[1]:.1f})"'


def _tip(text: str) -> str:
    return f' data-tip="{_text(text)}"' if text else ""


def _title(text: str) -> str:
    return f"<title>{_text(text)}</title>" if text else ""


def _text(text: str) -> str:
    return escape(printable(text))
