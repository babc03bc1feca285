"""The pages: a view laid out by a template, with its figures drawn for light and for dark screens."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined

from bankwise.report import plots, words
from bankwise.report.conversion import ConversionView
from bankwise.report.gather import Run
from bankwise.report.style import DARK, LIGHT, Theme
from bankwise.report.view import SPLITS, ComparisonView, RunView, comparison_view, run_view

DPI = 220
FILTERS = (
    words.accuracy, words.choice, words.count, words.duration, words.filters, words.gain, words.measured, words.number,
    words.points, words.setting, words.share, words.times, words.value,
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A drawn figure: two PNGs of one size, in pixels."""

    light: bytes
    dark: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, which bytes 16 to 24 of a PNG are."""
        return int.from_bytes(self.light[16:20], "big"), int.from_bytes(self.light[20:24], "big")


@dataclass(frozen=True)
class Page:
    """The HTML, which loads nothing from elsewhere, and its pictures by name."""

    html: str
    pictures: Mapping[str, Picture]


def run_page(run: Run) -> Page:
    """The page of one run."""
    view = run_view(run)
    return _page("run.html.j2", view, run_plots(view))


def conversion_page(view: ConversionView) -> Page:
    """The page of a conversion."""
    return _page("conversion.html.j2", view, view.plots)


def comparison_page(runs: Sequence[Run]) -> Page:
    """The page of several runs side by side."""
    view = comparison_view(runs)
    return _page("comparison.html.j2", view, comparison_plots(view))


def run_plots(view: RunView) -> dict[str, Callable]:
    """The figures of a run by name; each takes a theme."""
    run, form = view.run, view.form
    prices = {plan.name.lower(): plan.price for plan in view.plans}
    found: dict[str, Callable] = {
        "bytes": partial(plots.bytes_by_part, prices),
        "choices": partial(plots.bits_per_weight, run.shape, prices),
    }
    if run.searched_trials:
        found["history"] = partial(plots.history, run.searched_trials, run.uniform_trials, run.metric)
    if view.model is not None:
        found["worth"] = partial(plots.worth, view.model)
    if form is not None:
        found["staircase"] = partial(plots.staircase, form, run.budget_bytes, view.plans[0].name.lower())
        if form.gain > 0:
            found["next-kib"] = partial(plots.next_kib, form)
    return found


def comparison_plots(view: ComparisonView) -> dict[str, Callable]:
    """The figures of a comparison by name; each takes a theme."""
    return {
        f"comparison-{split}{group.suffix}": partial(
            plots.accuracy, group.series[split], getattr(group.uncompressed[0], split), split, group.metric
        )
        for group in view.groups
        for split in SPLITS
    }


def draw(plot: Callable, theme: Theme) -> bytes:
    """The plot in the theme, as PNG."""
    buffer = io.BytesIO()
    plot(theme=theme).savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def environment() -> Environment:
    """Templates that escape all that they are given and refuse names that do not exist."""
    made = Environment(
        loader=PackageLoader("bankwise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update({use.__name__: use for use in FILTERS})
    made.filters["data_uri"] = data_uri
    return made


def _page(template: str, view: RunView | ComparisonView | ConversionView, shown: Mapping[str, Callable]) -> Page:
    pictures = {name: Picture(draw(plot, LIGHT), draw(plot, DARK)) for name, plot in shown.items()}
    html = environment().get_template(template).render(view=view, pictures=pictures, light=LIGHT, dark=DARK)
    return Page(html, pictures)
