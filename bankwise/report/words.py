"""Numbers as the page writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bankwise.measuring import Sample
from bankwise.report.gather import Run
from bankwise.search_space.families import Choice
from bankwise.search_space.shape import LayerShape
from bankwise.shown import metric_name, value_of


def accuracy(sample: Sample | None, metric: str = "accuracy") -> str:
    """Mean and, over several seeds, sample standard deviation; shares in percent."""
    return "–" if sample is None else value_of(sample.mean, sample.spread, metric)


def value(one: float | None, metric: str = "accuracy") -> str:
    """A value of the metric; nothing where there is none."""
    return "" if one is None else value_of(one, metric=metric)


def number(value: int | None) -> str:
    """With commas between thousands; a dash for none."""
    return "–" if value is None else f"{value:,}"


def times(ratio: float) -> str:
    return f"{ratio:,.1f}×"


def plan_name(run: Run) -> str:
    """The plan of the run: searched, or the given one that was trained, or a uniform one, the best of all."""
    if run.strategy is None:
        return "Given plan"
    return "Uniform plan" if run.plan == run.uniform_plan else "Searched plan"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def choice(value: Choice) -> str:
    """As plans write it; one with a bank in short."""
    return value.label()


def filters(layer: LayerShape) -> str:
    """Channels in and out, and the kernel."""
    size = "" if layer.kind == "linear" else f", {layer.kernel[0]}×{layer.kernel[1]}"
    return f"{layer.c * layer.groups}→{layer.n}{size}"


def setting(value: object) -> str:
    """A setting as a person would write it."""
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(setting, value))
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {setting(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def shell_lines(words: Sequence[str], width: int = 88) -> str:
    """A command over several lines, as a shell reads them, broken between its words alone."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return " \\\n".join(lines)


def share(part: float, digits: int = 0) -> str:
    return f"{100 * part:.{digits}f} %"


def gain(relative: float) -> str:
    """A relative gain in percent, rounded to a whole one or to two digits."""
    return f"{100 * relative:+.0f} %" if abs(relative) >= 0.1 else f"{100 * relative:+.2g} %"


def points(share: float) -> str:
    """A difference of shares in points."""
    return f"{100 * share:+.2f}"


def measured(metric: str) -> str:
    """The metric's name."""
    return metric_name(metric)
