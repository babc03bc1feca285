"""`write_report`: the page stands alone, says what was measured, and refuses what is no finished run."""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from matplotlib.image import imread

from bankwise.report import write_report
from bankwise.report.gather import Run
from bankwise.report.pages import comparison_page, environment, run_page
from bankwise.report.style import LIGHT
from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource
from bankwise.training import train_plan

PLOTS = {"staircase", "bytes", "choices", "history", "next-kib", "worth"}


AWKWARD = """$\\frac{$ [/b] <script>alert("it's")</script> &amp; {{ 7 * 7 }}"""


class Page(HTMLParser):
    """Tags, addresses, tables and visible text of a page; tags must close in order."""

    VOID = {"meta", "img", "source"}
    UNSEEN = {"style", "script", "svg"}

    def __init__(self, source: str):
        super().__init__()
        self.source = source
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.headings: list[str] = []
        self.tables: list[list[list[tuple[str, int]]]] = []  # rows of (tag, columns it spans)
        self.open: list[str] = []
        self.text = ""
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes.items() if name in ("src", "srcset", "href")]
        if tag == "img":
            self.images.append(attributes)
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append((tag, int(attributes.get("colspan", 1))))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)
        if not self.UNSEEN & {*self.open}:
            self.text += data

    @property
    def words(self) -> str:
        """The text on one line."""
        return " ".join(self.text.split())


def page_at(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def reported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with its page."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("reported") / "run"))
    assert write_report([folder]) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(reported: Path) -> Page:
    return page_at(reported / "report.html")


def test_the_page_loads_nothing_from_elsewhere(page: Page):
    assert "http://" not in page.source and "https://" not in page.source and "url(" not in page.source
    assert page.tags.count("script") == 1 and "link" not in page.tags and "iframe" not in page.tags
    assert "fetch(" not in page.source and "import(" not in page.source and len(page.source) < 2e6
    assert len(page.addresses) == 2 * len(PLOTS)
    for address in page.addresses:
        head, _, data = address.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG\r\n")


def test_the_figures_are_drawn_and_are_those_of_the_page(page: Page, reported: Path):
    assert {path.stem for path in (reported / "plots").iterdir()} == PLOTS
    for path in (reported / "plots").iterdir():
        assert base64.b64encode(path.read_bytes()).decode() in page.source
        pixels = imread(path)
        assert pixels.shape[1] > 900 and pixels.shape[0] > 200
        assert len(np.unique(pixels[::4, ::4].reshape(-1, pixels.shape[2]), axis=0)) > 20
        assert 0.01 < (pixels[..., :3].min(2) < 0.9).mean() < 0.6  # ink, and not ink alone


def test_the_page_gives_the_numbers_of_the_run(page: Page, finished: Path, run: Run):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["file_bytes"] == summary["planned_bytes"] == (finished / "model.bankwise").stat().st_size
    for measured in (summary, summary["baseline_uniform"], summary["uncompressed"]):
        for name in ("accuracy", "test_accuracy"):
            assert f"{100 * measured[name]:.2f} % ± {100 * measured[f'{name}_spread']:.2f}" in page.words
    for size in (summary["file_bytes"], summary["baseline_uniform"]["bytes"], summary["uncompressed"]["bytes"]):
        assert f"{size:,}" in page.words
        assert f"{summary['uncompressed']['bytes'] / size:,.1f}×" in page.words
    assert f"Planned {summary['file_bytes']:,} bytes = written {summary['file_bytes']:,} bytes" in page.words
    assert f"{summary['paper_bits']:,} bits (paper)" in page.words
    assert "1,200 bytes" in page.words
    for layer in (*run.price.layers, *run.uniform_price.layers):
        assert f"{8 * layer.file_bytes / layer.weights:.3f}" in page.words
    work = run.price.totals("merge")
    for value in (work.additions, work.peak_bytes, run.price.totals("materialized").multiplications):
        assert f"{value:,}" in page.words


def test_sections_and_tables_are_whole(page: Page):
    assert page.headings == [
        "The staircase: the best mean capture for every budget",
        "Where the bytes go",
        "The choice of each layer",
        "Learning curves",
        "The search",
        "What the trials say of a byte",
        "The gain of one more KiB",
        "Computation, for one image",
        "How it was made",
    ]
    assert page.tags.count("section") == len(page.headings) and page.tags.count("h1") == 1
    assert len(page.tables) == 14  # the seeds, what is confused and the trials among them
    for table in page.tables:
        assert len({sum(span for _, span in row) for row in table}) == 1  # rows of one width
        heads = [row for row in table if row[-1][0] == "th"]
        assert table[: len(heads)] == heads and 1 <= len(heads) < len(table)
    assert all(image["alt"] and int(image["width"]) > 900 and int(image["height"]) > 200 for image in page.images)
    assert len(page.images) == len(PLOTS)


def test_every_figure_has_a_caption(page: Page):
    charts = 3  # against bytes, the learning curves, and what trials say of each other
    assert page.source.count("<figure>") == page.source.count("<figcaption><strong>") == len(PLOTS) + charts
    assert page.source.count('<svg class="chart"') == charts
    assert "sample standard deviation over 2 seeds" in page.words and "validation split" in page.words


def test_the_same_run_gives_the_same_page(page: Page, reported: Path, tmp_path: Path):
    assert write_report([reported], tmp_path / "again.html").read_text() == page.source


def test_paper_accounting_and_one_seed(paper: Path, tmp_path: Path):
    text = page_at(write_report([paper], tmp_path / "page.html")).words
    assert "Budget “0.5KiB” = 512 bytes (paper)" in text and "in paper accounting;" in text
    assert "one seed, so without a spread" in text and "±" not in text


def test_widths_that_were_tried(widened: Path, page: Page, tmp_path: Path):
    summary = json.loads((widened / "summary.json").read_text())
    rows = page_at(write_report([widened], tmp_path / "page.html")).words.split("The architectures that were tried")[1]
    assert len(summary["architectures"]) >= 2
    for network, accuracy in summary["architectures"].items():
        assert f"{network}{100 * accuracy:.2f} %" in rows
    assert "architectures that were tried" not in page.words


def test_a_plan_that_was_trained_alone(run: Run, tmp_path: Path):
    source = TaskSource("tiny", "digits", limit=200)
    train_plan(run.plan, source, tmp_path / "run", Recipe(epochs=1, threads=1), teacher=False)
    text = page_at(write_report([tmp_path / "run"])).words
    assert "Given plan" in text and "uniform" not in text and "KiB" not in text
    assert {path.stem for path in (tmp_path / "run" / "plots").iterdir()} == {"bytes", "choices"}


def error(runs: list[Path], out: Path | None = None) -> str:
    with pytest.raises(BankwiseError) as caught:
        write_report(runs, out)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_finished_run_is_refused(copied: Path, tmp_path: Path):
    (copied / "summary.json").unlink()
    assert "not a finished run" in error([copied]) and str(copied) in error([copied])
    assert "not a folder" in error([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    assert "not a finished run" in error([tmp_path / "empty"])
    assert not (copied / "report.html").exists()


@pytest.mark.parametrize("name", ["summary.json", "settings.json", "search/ledger.jsonl", "uniform/ledger.jsonl"])
@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_file_is_one_clear_line(copied: Path, name: str, content: str):
    (copied / name).write_text(content)
    assert name in error([copied])


def test_a_damaged_plan_is_one_clear_line(copied: Path):
    (copied / "plan.yaml").write_text("version: 9\n")
    assert "plan.yaml" in error([copied])
    (copied / "plan.yaml").unlink()
    assert "plan.yaml" in error([copied])


def test_several_runs_need_a_place_for_their_page(finished: Path):
    assert "--out" in error([finished, finished])
    assert "no run" in error([])


def test_names_are_shown_literally(apart: Run):
    """Names that HTML, a template, rich or matplotlib would read as something else."""
    run = apart
    layers = tuple(dataclasses.replace(layer, name=AWKWARD) for layer in run.price.layers)
    shapes = tuple(dataclasses.replace(layer, name=AWKWARD) for layer in run.shape.layers)
    price, shape = dataclasses.replace(run.price, layers=layers), dataclasses.replace(run.shape, layers=shapes)
    settings = {"plan": {}, "training_images": 1, AWKWARD: AWKWARD}
    named = {"data": AWKWARD, "network": AWKWARD, "strategy": AWKWARD, "budget": AWKWARD, "trials": (), "record": None}
    awkward = dataclasses.replace(run, shape=shape, price=price, settings=settings, **named)
    for page, times in ((run_page(awkward), 7 + 2 * len(layers)), (comparison_page([awkward]), 5)):
        read = Page(page.html)
        assert read.text.count(AWKWARD) == times
        assert read.tags.count("script") == page.html.count("<script") == 1, "the page's own"


def test_a_template_that_asks_for_what_is_not_there_fails():
    with pytest.raises(UndefinedError):
        environment().from_string("{{ view.missing }}").render(view=LIGHT)
