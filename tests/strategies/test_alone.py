"""The strategy whose prior was measured one layer at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import logit

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies import alone, make_strategy
from bankwise.strategies.portfolio import portfolio
from bankwise.strategies.scores import log_capture
from bankwise.trainers.loop import optimizer_steps


class Stopped(Exception):
    pass


@pytest.fixture
def measured(monkeypatch):
    """The (layer, choice, steps) that were measured; each is worth what its place says. The list may be given a
    length at which measuring is stopped."""

    class Calls(list):
        stop = None

    calls = Calls()

    def adapted_alone(task, plan, layer, steps):
        if len(calls) == calls.stop:
            raise Stopped
        calls.append((layer, list(plan.layers.values())[layer].code(), steps))
        return (len(calls) % 10) / 10

    monkeypatch.setattr(alone, "adapted_alone", adapted_alone)
    return calls


def test_choices_that_are_measured_fit_and_are_spread_over_what_they_capture(space):
    scores, kept = log_capture(space), alone.spread(space)
    least = [int(costs.min()) for costs in space.costs]
    for i, indices in enumerate(kept):
        assert 1 <= len(indices) <= alone.CHOICES and (np.diff(space.costs[i][indices]) > 0).all()
        assert (np.diff(scores[i][indices]) > 0).all(), "efficient ones"
        assert int(space.costs[i][indices].max()) + sum(least) - least[i] <= space.capacity
        assert space.costs[i][indices[0]] == least[i]


def test_what_lies_between_is_interpolated_and_rises_with_what_is_captured(space):
    kept = alone.spread(space)
    accuracies = [np.linspace(0.2, 0.8, len(indices)) for indices in kept]
    for row, indices, given_, capture in zip(
        alone.interpolated(space, kept, accuracies), kept, accuracies, log_capture(space), strict=True
    ):
        assert row[indices] == pytest.approx(logit(given_))
        order = np.argsort(capture)
        assert (np.diff(row[order]) >= -1e-12).all()
    fallen = [np.linspace(0.2, 0.8, len(indices))[::-1] for indices in kept]
    for row, values in zip(alone.interpolated(space, kept, fallen), fallen, strict=True):
        assert row == pytest.approx(np.full(len(row), logit(values).mean())), "none rises: all are their mean"
    for row in alone.interpolated(space, kept, [np.ones(len(indices)) for indices in kept]):
        assert np.isfinite(row).all() and np.ptp(row) < 1e-12


def test_all_measurements_take_no_more_steps_than_two_trainings(space, task, measured):
    kept = alone.spread(space)
    for epochs in (1, 2, 30):
        measured.clear()
        short = dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, epochs=epochs, batch=10))
        alone.measure(space, short, kept)
        steps = [steps for _, _, steps in measured]
        assert len(steps) == sum(map(len, kept)) and max(steps) <= alone.STEPS
        assert sum(steps) <= max(len(steps), alone.TRAININGS * optimizer_steps(short.data, short.recipe))


def test_a_measurement_that_was_stopped_goes_on_and_one_of_others_is_refused(space, task, measured, tmp_path):
    kept, path = alone.spread(space), tmp_path / "alone.pt"
    measured.stop = 7
    with pytest.raises(Stopped):
        alone.measure(space, task, kept, path)
    measured.stop = None
    found = alone.measure(space, task, kept, path)
    assert len(measured) == len(set(measured)) == sum(map(len, kept))
    assert [row.tolist() for row in alone.measure(space, task, kept, path)] == [row.tolist() for row in found]
    assert len(measured) == sum(map(len, kept))
    other = dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, lr=1e-3))
    with pytest.raises(BankwiseError, match="made by other settings: lr"):
        alone.measure(space, other, kept, path)


def test_the_best_plan_by_the_sum_follows_the_closed_forms_and_then_the_portfolio(space, task, measured):
    strategy = make_strategy("alone", space)
    strategy.prepare(task)
    closed, *others = portfolio(space)
    plans = [closed, space.solve(strategy.scores), *others]
    distinct = list({tuple(map(int, plan)): None for plan in plans})
    assert [tuple(map(int, space.indices(strategy.ask()))) for _ in distinct] == distinct


@pytest.mark.parametrize("layer", range(5))
def test_a_layer_that_alone_loses_much_is_given_more(space, layer):
    strategy = make_strategy("alone", space)
    strategy.measured = [20.0 * (i == layer) * row for i, row in enumerate(log_capture(space))]
    closed = space.solve(make_strategy("thompson", space).prior.x)
    chosen = space.solve(strategy.scores)
    captures = log_capture(space)[layer]
    assert captures[chosen[layer]] >= captures[closed[layer]]


def test_without_a_trained_network_it_says_so(space, task):
    strategy = make_strategy("alone", space)
    with pytest.raises(BankwiseError, match="needs prepare"):
        strategy.ask()
    with pytest.raises(BankwiseError, match="needs a trained uncompressed network"):
        strategy.prepare(dataclasses.replace(task, teacher=None))


def test_trials_are_judged_without_the_network_as_the_closed_form_would(space):
    judge, thompson = make_strategy("alone", space), make_strategy("thompson", space)
    for number in range(10):
        plan = thompson.ask()
        for strategy in (judge, thompson):
            strategy.tell(plan, {"accuracy": 0.5 + number / 50})
    assert judge.estimates().tolist() == thompson.estimates().tolist() and judge.best == thompson.best


def test_trials_from_before_the_measurement_count_after_it(space, task, measured):
    early, late = make_strategy("alone", space), make_strategy("alone", space)
    late.prepare(task)
    measured.clear()
    plans = [space.plan(plan) for plan in portfolio(space)]
    for strategy in (early, late):
        for number, plan in enumerate(plans):
            strategy.tell(plan, {"accuracy": 0.5 + number / 50})
    early.prepare(task)
    assert early.estimates() == pytest.approx(late.estimates()) and early.ask() == late.ask()
