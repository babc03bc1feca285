from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bankwise.planning import solve
from bankwise.report.closed_form import ClosedForm, closed_form
from bankwise.report.gather import Run, read_run
from bankwise.search_space.families import Choice
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.space import SearchSpace
from bankwise.strategies.learned import LEARNED


@pytest.fixture(scope="module")
def form(run: Run) -> ClosedForm:
    return closed_form(run)


def importances(run: Run) -> list[float]:
    """Up to a common factor."""
    layers, end = run.shape.layers, len(run.shape.layers) - 1
    return [
        layer.weights**LEARNED.weights
        * layer.positions**LEARNED.positions
        * math.exp(LEARNED.depth * (i / end - 0.5) + LEARNED.first * (i == 0) + LEARNED.last * (i == end))
        for i, layer in enumerate(layers)
    ]


def capture(shape: LayerShape, choice: Choice) -> float:
    """By what energy of its kind is worth, less what coarse vectors lose."""
    bank, dimension = choice.bank_size
    kind = (choice.kernel_parts(shape) or 1) ** LEARNED.split * bank**LEARNED.bank * dimension**LEARNED.dimension
    kept = choice.stored(8).kept(shape.n) if choice.has_vectors(shape) else 1
    return kept * choice.capture(shape) * kind * math.exp(LEARNED.families.get(choice.family, 0))


def space_of(run: Run, budget: int) -> SearchSpace:
    return SearchSpace(run.shape, SpaceSettings().within(budget, run.shape))


def mean_capture(run: Run, plan: Plan) -> float:
    captures = [capture(layer, plan.layers[layer.name]) for layer in run.shape.layers]
    return math.exp(np.average(np.log(captures), weights=importances(run)))


def test_plans_lie_where_price_and_rates_say(form: ClosedForm, run: Run):
    for spot, plan in ((form.searched, run.plan), (form.uniform, run.uniform_plan)):
        assert spot.bytes == price(run.shape, plan).file_bytes
        assert spot.capture == pytest.approx(mean_capture(run, plan))
    assert [spot.bytes for spot in form.trials] == [trial.file_bytes for trial in run.searched_trials]


def test_the_staircase_rises_and_nothing_is_above_it(form: ClosedForm, run: Run):
    assert all(a.bytes < b.bytes and a.capture < b.capture for a, b in zip(form.steps, form.steps[1:], strict=False))
    best = solve(space_of(run, 1200), 1200)
    assert form.optimum.capture == pytest.approx(mean_capture(run, best))
    assert max(step.capture for step in form.steps if step.bytes <= 1200) == pytest.approx(form.optimum.capture)
    assert all(
        spot.capture <= form.optimum.capture * (1 + 1e-9) for spot in (form.searched, form.uniform, *form.trials)
    )


def test_one_more_kib_is_the_optimum_of_the_larger_budget(form: ClosedForm, run: Run):
    more = solve(space_of(run, 1200), 1200 + 1024)
    assert form.gain == pytest.approx(mean_capture(run, more) / form.optimum.capture - 1)
    assert [layer.shared for layer in form.layers] == list(more.layers.values())
    assert [layer.now for layer in form.layers] == list(solve(space_of(run, 1200), 1200).layers.values())
    shares = np.array(importances(run)) / sum(importances(run))
    for share, layer in zip(shares, form.layers, strict=True):
        shape = run.shape.layer(layer.name)
        gain = (capture(shape, layer.alone) / capture(shape, layer.now)) ** share - 1
        assert layer.gain == pytest.approx(gain, abs=1e-9)
        assert 0 <= layer.gain <= form.gain + 1e-9


def test_paper_accounting_counts_banks_and_indices(paper: Path):
    run = read_run(paper)
    form = closed_form(run)
    assert form.searched.bytes == run.searched.paper_bits / 8 <= 512
    assert form.searched.capture == pytest.approx(mean_capture(run, run.plan))
