from __future__ import annotations

import dataclasses

import matplotlib
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from bankwise.report import plots
from bankwise.report.gather import Run
from bankwise.report.pages import comparison_plots, draw, run_plots
from bankwise.report.style import DARK, LIGHT, label
from bankwise.report.view import comparison_view, run_view
from bankwise.search_space.shape import NetworkShape

AWKWARD = [r"$\frac{$", r"a$b$c", "$", r"\$x$", "_x^2", "<b>&", "[/b]"]


@pytest.fixture(scope="module", params=[LIGHT, DARK], ids=["light", "dark"])
def drawn(run: Run, request) -> dict[str, Figure]:
    made = run_plots(run_view(run)) | comparison_plots(comparison_view([run]))
    return {name: plot(theme=request.param) for name, plot in made.items()}


def test_every_axis_says_what_it_is(drawn: dict[str, Figure], run: Run):
    assert len(drawn) == 8
    for fig in drawn.values():
        for ax in fig.axes:
            assert any(unit in ax.get_xlabel() for unit in ("bytes", "bits per weight", "trial", "%"))
            shared = ax is not fig.axes[0] and fig.axes[0].get_shared_y_axes().joined(ax, fig.axes[0])
            named = " ".join(text.get_text() for text in ax.get_yticklabels()).split()
            assert shared or ax.get_ylabel() or run.shape.layers[-1].name in named


def test_text_is_in_the_colours_of_the_theme(drawn: dict[str, Figure], request):
    """Nothing is left in matplotlib's own black, which a dark page would hide."""
    theme = request.node.callspec.params["drawn"]
    for fig in drawn.values():
        fig.draw_without_rendering()
        texts = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text()]
        assert {to_hex(text.get_color()) for text in texts} == {theme.ink}
        assert to_hex(fig.get_facecolor()) == theme.paper


def test_matplotlib_is_left_as_it_was(run: Run):
    before = dict(matplotlib.rcParams)
    draw(run_plots(run_view(run))["history"], DARK)
    assert dict(matplotlib.rcParams) == before


def test_bars_add_up_to_the_bytes(run: Run):
    fig = plots.bytes_by_part({"searched": run.price, "uniform": run.uniform_price})
    for ax, price in zip(fig.axes, (run.price, run.uniform_price), strict=True):
        assert sum(patch.get_width() for patch in ax.patches) == price.file_bytes


def test_the_best_so_far_never_falls(run: Run):
    worse = dataclasses.replace(run.searched_trials[0], accuracy=0.01)
    ax = plots.history((*run.searched_trials, worse)).axes[0]
    best = next(line for line in ax.lines if line.get_label() == "searched, best so far").get_ydata()
    assert list(best) == sorted(best) and best[-1] == 100 * max(trial.accuracy for trial in run.searched_trials)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_label_is_shown_literally(name: str):
    """Text says how it would be drawn: literally, or as mathematics."""
    shown = Text(0, 0, label(name))
    assert shown._preprocess_math(shown.get_text()) == (name, False)


def test_any_name_can_be_drawn(run: Run):
    """Names of layers, plans and strategies: mathematics that does not parse would stop the report."""
    names = iter(AWKWARD)
    layers = tuple(dataclasses.replace(layer, name=next(names)) for layer in run.price.layers)
    price = dataclasses.replace(run.price, layers=layers)
    shapes = [dataclasses.replace(layer, name=row.name) for layer, row in zip(run.shape.layers, layers, strict=True)]
    shape: NetworkShape = dataclasses.replace(run.shape, layers=tuple(shapes))
    form = run_view(run).form
    gains = [dataclasses.replace(gain, name=row.name, gain=1) for gain, row in zip(form.layers, layers, strict=True)]
    plans = {AWKWARD[0]: price}
    for fig in (
        plots.bytes_by_part(plans),
        plots.bits_per_weight(shape, plans),
        plots.next_kib(dataclasses.replace(form, layers=tuple(gains))),
        plots.accuracy({AWKWARD[0]: [(900, run.searched.validation)]}),
    ):
        fig.draw_without_rendering()
