from __future__ import annotations

from pathlib import Path

import pytest

from bankwise.report import write_report
from bankwise.report.gather import Run, read_run
from bankwise.report.plots import accuracy
from bankwise.report.view import comparison_view


def test_runs_stand_side_by_side(finished: Path, paper: Path, tmp_path: Path):
    page = write_report([paper, finished], tmp_path / "side" / "page.html")
    text = page.read_text()
    assert page == tmp_path / "side" / "page.html" and "http" not in text
    assert {path.name for path in (page.parent / "plots").iterdir()} == {
        "comparison-validation.png", "comparison-test.png",
    }  # fmt: skip
    assert text.count("<svg") == 2 and "<img" not in text, "each figure is drawn once"
    sample = read_run(finished).searched.validation
    for run in (read_run(finished), read_run(paper)):
        for measured in (run.searched, run.uniform):
            assert f"<td>{measured.bytes:,}</td>" in text
        ahead = 100 * (run.searched.validation.mean - run.uniform.validation.mean)
        assert f"<td>{ahead:+.2f}</td>" in text or run.plan == run.uniform_plan
    assert "Uncompressed (float32)" in text
    for name in ("first, seed 0, local, 1 epoch", "paper, seed 0, local, 1 epoch"):
        assert f'<td class="text">{name}</td>' in text and f'data-tip="{name}: ' in text
    lines = [ax for ax in accuracy({"one": [(900, sample), (1800, sample)]}).axes[0].lines if len(ax.get_xdata()) > 1]
    assert all(line.get_linestyle() == "None" or len(set(line.get_xdata())) == 1 for line in lines), "no run is joined"


@pytest.mark.parametrize("split", ["validation", "test"])
def test_error_bars_are_the_spreads(apart: Run, split: str):
    run, group = apart, comparison_view([apart]).groups[0]
    ax = accuracy(group.series[split], getattr(run.uncompressed, split), split).axes[0]
    for measured, container in zip((run.searched, run.uniform), ax.containers, strict=True):
        sample = getattr(measured, split)
        (x, low), (_, high) = container.lines[2][0].get_segments()[0]
        assert x == measured.bytes
        assert (low, high) == pytest.approx((100 * (sample.mean - sample.spread), 100 * (sample.mean + sample.spread)))


def test_runs_of_two_networks_have_a_section_each(finished: Path, copied: Path, tmp_path: Path):
    summary = copied / "summary.json"
    summary.write_text(summary.read_text().replace('"data": "digits"', '"data": "other"'))
    page = write_report([finished, copied], tmp_path / "page.html")
    assert "<h2>tiny on digits</h2>" in page.read_text() and "<h2>tiny on other</h2>" in page.read_text()
    assert len(list((tmp_path / "plots").iterdir())) == 4
