"""The model of a run's trials: what bytes are worth at each layer, and what trials say of each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit, logit

from bankwise.report.closed_form import space_of
from bankwise.report.gather import Run
from bankwise.report.model import PART, REACH, Model, model
from bankwise.report.pages import run_page, run_plots
from bankwise.report.view import run_view
from bankwise.result import Trial
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, Prior
from bankwise.strategies.additive.scale import LEAST

SECTION = "What the trials say of a byte"


def tried(run: Run, count: int, worth: float = 0.0) -> Run:
    """The run as if it had had so many trials, of random plans: accuracies by the first layer's choice alone."""
    space, rng = space_of(run), np.random.default_rng(0)
    trials = []
    for number in range(count):
        indices = space.sample(rng)
        accuracy = float(expit(1 + worth * (indices[0] / (space.sizes[0] - 1) - 0.5) + rng.normal(0, 0.05)))
        trials.append(Trial("search", number, space.plan(indices), accuracy, {"file_bytes": 900, "accuracy": accuracy}))
    return dataclasses.replace(run, trials=tuple(trials))


@pytest.fixture(scope="module")
def found(run: Run) -> Model:
    return model(run)


def test_a_layer_takes_more_bytes_or_gives_them(run: Run, found: Model):
    space = space_of(run)
    assert found.bytes == run.budget_bytes // PART and [one.name for one in found.layers] == list(space.space.names)
    for layer, costs, row in zip(found.layers, space.costs, map(space.choices, range(len(space.sizes))), strict=True):
        assert layer.now == run.plan.layers[layer.name]
        extra = costs - costs[row.index(layer.now)]
        unit = space.accounting.units_per_byte
        assert (layer.more is None) == (not ((extra > 0) & (extra <= unit * found.bytes)).any())
        assert (layer.fewer is None) == (not (extra <= -unit * found.bytes).any())
        for one, side in ((layer.more, (1, found.bytes)), (layer.fewer, (-np.inf, -found.bytes))):
            if one is not None:
                assert side[0] <= extra[row.index(one.choice)] / unit <= side[1] and one.low < one.gain < one.high


def test_worths_are_those_of_the_posterior_at_the_plans_accuracy(run: Run):
    few = tried(run, LEAST - 1)
    space = space_of(run)
    posterior = Posterior(Prior(space, DEVIATIONS))
    for trial in few.trials:
        posterior.add(tuple(space.indices(trial.plan)), float(logit(trial.accuracy)))
    name, one = next((layer.name, layer.more) for layer in model(few).layers if layer.more is not None)
    plan = dataclasses.replace(run.plan, layers={**run.plan.layers, name: one.choice})
    (mean,), (deviation,) = posterior.ahead(space.indices(plan)[None], space.indices(run.plan))
    level = run.searched.validation.mean
    points = [float(expit(logit(level) + mean + reach * deviation) - level) for reach in (0, -REACH, REACH)]
    assert (one.gain, one.low, one.high) == pytest.approx(points)


def test_a_plan_that_was_tried_twice_counts_once(run: Run, found: Model):
    twice = dataclasses.replace(run, trials=run.trials + run.trials)
    assert model(twice) == found
    assert found.count == len({trial.plan.text for trial in run.trials}) == len(found.trials)


def test_what_trials_show_of_a_layer_orders_them(run: Run):
    many = model(tried(run, 40, worth=2.0))
    assert many.tau > many.by_chance and 24 <= many.held <= 40 and not many.few
    assert all(one.low < one.value < one.high for one in many.trials)


def test_few_trials_are_said_to_be_few(run: Run, found: Model):
    assert found.few and found.tau is None
    page = run_page(run).html
    assert (
        f"There are only {found.count} plans with a trial" in page and "too few trials to tell one from chance" in page
    )
    many = run_page(tried(run, 12)).html
    assert "There are only" not in many and "Rank correlation: Kendall’s tau" in many


@pytest.mark.parametrize("count", [0, 1])
def test_a_page_without_trials(run: Run, count: int):
    page = run_page(tried(run, count)).html
    told = "This run has no trials" if count == 0 else "There is only 1 plan with a trial"
    assert SECTION in page and told in page and "The trials against what" not in page


def test_trials_that_all_measure_the_same_have_no_order(run: Run):
    many = tried(run, 10)
    same = dataclasses.replace(many, trials=tuple(dataclasses.replace(one, accuracy=0.9) for one in many.trials))
    assert model(same).tau is None and "all trials measured the same" in run_page(same).html


def test_no_model_without_a_search_or_of_a_metric_that_is_no_share(run: Run):
    for other in (dataclasses.replace(run, metric="r2"), dataclasses.replace(run, budget_bytes=None)):
        assert model(other) is None
        view = run_view(other)
        assert view.predictions is None and "worth" not in run_plots(view) and SECTION not in run_page(other).html


def test_the_page_says_what_was_expected(run: Run):
    assert run.expected is not None and run.expected.line.replace("'", "&#39;") in run_page(run).html
