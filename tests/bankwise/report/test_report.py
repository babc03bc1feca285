"""`write_report`: the page stands alone, says what was measured, and refuses what is no finished run."""

from __future__ import annotations

import base64
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from bankwise.report import write_report
from bankwise.report.gather import Run
from bankwise.training import train_plan
from search_space.errors import BankwiseError
from trainers.recipe import Recipe

PLOTS = {"staircase", "bytes", "choices", "history", "next-kib"}


class Page(HTMLParser):
    """Tags, addresses and visible text of a page; tags must close in order."""

    VOID = {"meta", "img", "source"}

    def __init__(self, path: Path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "srcset", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def reported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with its page."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("reported") / "run"))
    assert write_report([folder]) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(reported: Path) -> Page:
    return Page(reported / "report.html")


def test_the_page_loads_nothing_from_elsewhere(page: Page):
    assert "http://" not in page.source and "https://" not in page.source and "url(" not in page.source
    assert "script" not in page.tags and "link" not in page.tags
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
            assert f"{100 * measured[name]:.2f} % ± {100 * measured[f'{name}_spread']:.2f}" in page.text
    for size in (summary["file_bytes"], summary["baseline_uniform"]["bytes"], summary["uncompressed"]["bytes"]):
        assert f"{size:,}" in page.text
        assert f"{summary['uncompressed']['bytes'] / size:,.1f}×" in page.text
    assert f"Planned {summary['file_bytes']:,} bytes = written {summary['file_bytes']:,} bytes" in page.text
    assert f"{summary['paper_bits']:,} bits (paper)" in page.text
    assert "1,200 bytes" in page.text
    for layer in (*run.price.layers, *run.uniform_price.layers):
        assert f"{8 * layer.file_bytes / layer.weights:.3f}" in page.text
    work = run.price.totals("merge")
    for value in (work.additions, work.peak_bytes, run.price.totals("materialized").multiplications):
        assert f"{value:,}" in page.text


def test_every_figure_has_a_caption(page: Page):
    assert page.source.count("<figure>") == page.source.count("<figcaption><strong>") == len(PLOTS)
    assert "sample standard deviation over 2 seeds" in page.text and "validation split" in page.text


def test_the_same_run_gives_the_same_page(page: Page, reported: Path, tmp_path: Path):
    assert write_report([reported], tmp_path / "again.html").read_text() == page.source


def test_paper_accounting_and_one_seed(paper: Path, tmp_path: Path):
    text = Page(write_report([paper], tmp_path / "page.html")).text
    assert "Budget “0.5KiB” = 512 bytes (paper)" in text
    assert "one seed, so without a spread" in text and "±" not in text


def test_widths_that_were_tried(widened: Path, page: Page, tmp_path: Path):
    summary = json.loads((widened / "summary.json").read_text())
    rows = Page(write_report([widened], tmp_path / "page.html")).text.split("The widths that were tried")[1]
    assert len(summary["widths"]) >= 2
    for network, accuracy in summary["widths"].items():
        assert f"{network}{100 * accuracy:.2f} %" in rows
    assert "widths that were tried" not in page.text


def test_a_plan_that_was_trained_alone(run: Run, tmp_path: Path):
    train_plan(run.plan, "digits", tmp_path / "run", Recipe(epochs=1, threads=1), teacher=False, limit=200)
    text = Page(write_report([tmp_path / "run"])).text
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


@pytest.mark.parametrize("name", ["summary.json", "settings.json", "search.json", "uniform.json"])
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


def test_names_are_escaped(copied: Path):
    summary = json.loads((copied / "summary.json").read_text()) | {"data": "<b>&'"}
    (copied / "summary.json").write_text(json.dumps(summary))
    page = Page(write_report([copied]))
    assert "<b>&'" in page.text and "<b>&'" not in page.source
