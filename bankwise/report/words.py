"""Numbers as the page writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bankwise.report.gather import Measured, Run, Sample
from search_space.basis import Choice, Sparse
from search_space.basis.bank import BankChoice
from search_space.shape import LayerShape


def percent(sample: Sample | None) -> str:
    """Mean and, over several seeds, sample standard deviation, in percent."""
    if sample is None:
        return "–"
    spread = f" ± {100 * sample.spread:.2f}" if len(sample.values) > 1 else ""
    return f"{100 * sample.mean:.2f} %{spread}"


def plan_name(run: Run) -> str:
    """The plan of the run: searched, or the given one that was trained, or a uniform one that none searched beat."""
    if run.strategy is None:
        return "Given plan"
    return "Searched plan" if run.strategy == "uniform" or run.plan != run.uniform_plan else "Plan, a uniform one"


def measured_over(count: int) -> str:
    """How accuracies of final trainings are given."""
    return f"mean ± sample standard deviation over {count} seeds" if count > 1 else "one seed, so without a spread"


def times_smaller(run: Run, measured: Measured) -> str:
    return f"{run.uncompressed.bytes / measured.bytes:,.1f}×"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def choice(value: Choice) -> str:
    """As plans write it; one with a bank in short, a sparse one with terms × coefficient bits and the bank's bits."""
    if not isinstance(value, BankChoice):
        return str(value)
    terms = f", {value.nonzeros}×{value.coefficient_bits} of {value.bits} bit" if isinstance(value, Sparse) else ""
    return f"k={value.k} s={value.s} {value.tile[0]}×{value.tile[1]}{terms}"


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
