"""Charts: where marks lie, by hand and against the values; what they say; any text and any numbers."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.report.chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Mark,
    byte_axis,
    chart,
    count_axis,
    value_axis,
)
from bankwise.report.gather import Run, read_run
from bankwise.report.pages import run_page
from bankwise.report.view import run_view
from bankwise.search_space.errors import BankwiseError


def placed(svg: str) -> list[tuple[float, float]]:
    """Where the marks are, in shares of the plot, from the lower left."""
    found = []
    for path in ElementTree.fromstring(svg).iter("path"):
        if path.get("class", "").startswith("mark"):
            x, y = map(float, re.fullmatch(r"translate\((.*),(.*)\)", path.get("transform")).groups())
            found.append(((x - LEFT) / (WIDTH - LEFT - RIGHT), (HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM)))
    return found


def test_marks_lie_where_their_values_are():
    x, y = Axis("x", 1, 16, [(4, "4")], log=True), Axis("y", 0, 10, [(5, "5")])
    svg = chart(
        "a chart", x, y, [Mark(1, 0, "dot", "one"), Mark(4, 5, "dot", "two", "half way"), Mark(16, 10, "dot", "three")]
    )
    assert placed(svg) == [pytest.approx(point, abs=1e-3) for point in ((0, 0), (0.5, 0.5), (1, 1))]
    assert 'data-tip="half way"' in svg and "<title>half way</title>" in svg


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=6), st.booleans())
def test_every_value_lies_on_a_linear_axis_with_a_few_named_marks(values, percent):
    axis = value_axis("accuracy", values, percent)
    assert all(0 <= axis.share(value) <= 1 for value in values)
    assert 1 <= len(axis.ticks) <= 10 and len({text for _, text in axis.ticks}) == len(axis.ticks)
    scale = 100 if percent else 1
    for value, text in axis.ticks:
        assert float(text.removesuffix(" %")) == pytest.approx(
            scale * value, rel=1e-6, abs=1e-6 * scale * (axis.high - axis.low)
        )


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=6))
def test_every_size_lies_on_the_axis_of_bytes(sizes):
    axis = byte_axis(sizes)
    assert all(0 <= axis.share(size) <= 1 for size in sizes)
    assert 1 <= len(axis.ticks) <= 8 and len({text for _, text in axis.ticks}) == len(axis.ticks)


@given(st.integers(1, 5000))
def test_counts_are_named_from_one(most):
    axis = count_axis("epoch", most)
    assert axis.ticks[0] == (1, "1") and len(axis.ticks) <= 9
    assert 0 <= axis.share(1) <= axis.share(most) <= 1


def test_any_text_is_escaped():
    name = "</svg><script>alert('\"')</script>\x1b[1m"
    svg = chart(name, count_axis("x", 3), count_axis(name, 3), [Mark(1, 1, "dot", "one", name)])
    ElementTree.fromstring(svg)
    assert "<script" not in svg and "\x1b" not in svg


def test_the_page_shows_the_value_of_every_seed_and_marks_what_was_exported(apart: Run):
    run = apart
    page = run_page(run).html
    for measured in (run.searched, run.uniform):
        for seed, value in enumerate(measured.validation.values):
            assert f"seed {seed}: {100 * value:.2f} %" in page
    view = run_view(run)
    assert {row.trial.plan.layers == run.plan.layers for row in view.trials if row.exported} == {True}
    assert page.count('<span class="badge">exported</span>') == sum(row.exported for row in view.trials) == 1
    assert 'data-tip="exported: ' in page and page.count('class="mark hollow searched" d="M-9.5') <= 1
    for trial in run.trials:
        for epoch, value in enumerate(trial.metrics["epochs"], 1):
            assert f"epoch {epoch}: {100 * value:.2f} %" in page


def test_where_the_uniform_plan_wins_it_is_said_once_and_nothing_is_called_searched(run: Run, apart: Run):
    won = dataclasses.replace(
        run, plan=run.uniform_plan, price=run.uniform_price, searched=dataclasses.replace(run.uniform,
        bytes=run.uniform_price.file_bytes), planned_bytes=run.uniform_price.file_bytes,
    )  # fmt: skip
    page = run_page(won).html
    assert page.count("The exported plan is a uniform one") == 1
    assert "earched plan" not in page and "Best uniform plan" not in page and "over the best uniform" not in page
    assert [row.name for row in run_view(won).networks] == ["Uniform plan", "Uncompressed (float32)"]
    assert "The exported plan is a uniform one" not in run_page(apart).html


def test_classes_that_are_confused_are_counted(run: Run):
    matrix = [[0] * 10 for _ in range(10)]
    matrix[3][5], matrix[3][3], matrix[8][1], matrix[8][8] = 4, 6, 1, 9
    page = run_page(dataclasses.replace(run, confusion=tuple(map(tuple, matrix)))).html
    assert "3 for 5 (4, 40 %); 8 for 1 (1, 10 %)" in page
    assert '--share: 0.400">4</td>' in page


@pytest.mark.parametrize("confusion", [[[1, 2]], [[1, -1], [0, 1]], [[1, 0], [1]]])
def test_a_damaged_matrix_is_one_line(copied: Path, confusion):
    summary = json.loads((copied / "summary.json").read_text())
    (copied / "summary.json").write_text(json.dumps(summary | {"confusion": confusion}))
    with pytest.raises(BankwiseError, match="damaged .confusion: not as many columns as rows of counts"):
        read_run(copied)


def test_a_summary_of_any_numbers_is_drawn(copied: Path):
    """Values of a metric of one's own, or of a damaged file, need not be shares."""
    for path in copied.glob("checkpoints/*.json"):
        values = json.loads(path.read_text())
        path.write_text(json.dumps(values | {"epochs": [1e300, None, -1e300, "x"]}))
    summary = json.loads((copied / "summary.json").read_text())
    (copied / "summary.json").write_text(json.dumps(summary | {"metric": "mine:<b>kappa"}))
    page = run_page(read_run(copied)).html
    assert "validation &lt;b&gt;kappa" in page and "<b>kappa" not in page
