from __future__ import annotations

import math
from pathlib import Path

import pytest

from bankwise.report.closed_form import ClosedForm, closed_form
from bankwise.report.gather import Run, read_run
from bankwise.solving import solve
from search_space.plan import Plan
from search_space.price import price
from search_space.space import SearchSpace


@pytest.fixture(scope="module")
def form(run: Run) -> ClosedForm:
    return closed_form(run)


def mean_rate(run: Run, plan: Plan) -> float:
    rates = [plan.layers[layer.name].rate(layer) for layer in run.shape.layers]
    return math.prod(rates) ** (1 / len(rates))


def test_plans_lie_where_price_and_rates_say(form: ClosedForm, run: Run):
    for spot, plan in ((form.searched, run.plan), (form.uniform, run.uniform_plan)):
        assert spot.bytes == price(run.shape, plan).file_bytes
        assert spot.rate == pytest.approx(mean_rate(run, plan))
    assert [spot.bytes for spot in form.trials] == [trial.file_bytes for trial in run.trials]


def test_the_staircase_rises_and_nothing_is_above_it(form: ClosedForm, run: Run):
    assert all(a.bytes < b.bytes and a.rate < b.rate for a, b in zip(form.steps, form.steps[1:], strict=False))
    best = solve(SearchSpace(run.shape), 1200)
    assert form.optimum.rate == pytest.approx(mean_rate(run, best))
    assert max(step.rate for step in form.steps if step.bytes <= 1200) == pytest.approx(form.optimum.rate)
    assert all(spot.rate <= form.optimum.rate * (1 + 1e-9) for spot in (form.searched, form.uniform, *form.trials))


def test_one_more_kib_is_the_optimum_of_the_larger_budget(form: ClosedForm, run: Run):
    more = solve(SearchSpace(run.shape), 1200 + 1024)
    assert form.gain == pytest.approx(mean_rate(run, more) / form.optimum.rate - 1)
    assert [layer.shared for layer in form.layers] == list(more.layers.values())
    assert [layer.now for layer in form.layers] == list(solve(SearchSpace(run.shape), 1200).layers.values())
    for layer in form.layers:
        shape = run.shape.layer(layer.name)
        gain = (layer.alone.rate(shape) / layer.now.rate(shape)) ** (1 / len(form.layers)) - 1
        assert layer.gain == pytest.approx(gain, abs=1e-9)
        assert 0 <= layer.gain <= form.gain + 1e-9


def test_paper_accounting_counts_banks_and_indices(paper: Path):
    run = read_run(paper)
    form = closed_form(run)
    assert form.searched.bytes == run.searched.paper_bits / 8 <= 512
    assert form.searched.rate == pytest.approx(mean_rate(run, run.plan))
