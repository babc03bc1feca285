"""Conversion without training: the solver's plan against all plans, importances, and what is offered when."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.families import KINDS, Binary, Composite, Integer, Stacked
from bankwise.search_space.fits import with_weights
from bankwise.search_space.price import price
from bankwise.strategies.conversion import (
    candidates,
    check_feasible,
    conversion_kinds,
    layer_candidates,
    suitable,
)
from bankwise.trainers.data import to_input


@pytest.fixture(scope="module")
def images(task):
    return to_input(task.data.train_x[:100])


@pytest.fixture(scope="module")
def found(task, images):
    return candidates(task.teacher, task.shape, ("composite", "int3", "int5", "binary"), images)


def test_the_plan_is_the_best_of_all_within_the_budget(task, found):
    """A few choices a layer, so that every plan can be looked at."""
    few = dataclasses.replace(
        found, choices=tuple(row[:6] for row in found.choices), errors=tuple(row[:6] for row in found.errors)
    )
    plan = few.solve(Budget(9000))
    names = [layer.name for layer in task.shape.layers]
    losses = {}
    for picked in itertools.product(range(6), repeat=len(names)):
        layers = {name: row[i] for name, row, i in zip(names, few.choices, picked, strict=True)}
        if price(task.shape, dataclasses.replace(plan, layers=layers)).file_bytes <= 9000:
            parts = zip(few.importances, few.errors, picked, strict=True)
            losses[picked] = sum(weight * errors[i] for weight, errors, i in parts)
    assert price(task.shape, plan).file_bytes <= 9000 and plan.vector_bits == 16
    assert few.loss(plan) == pytest.approx(min(losses.values()))


def test_more_bytes_lose_less(task, found):
    losses = [found.loss(found.solve(Budget(size))) for size in (7000, 10_000, 15_000, 25_000)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.1 * losses[0]


def test_errors_fall_with_the_bits_and_binary_keeps_what_a_sign_can(found):
    for choices, errors in zip(found.choices, found.errors, strict=True):
        table = dict(zip(choices, errors, strict=True))
        assert table[Integer(5)] < table[Integer(3)] < table[Binary()] < 0.6
        plain = [table[Composite(planes, ())] for planes in range(2, 8)]
        assert plain == sorted(plain, reverse=True)


def test_importances_are_divergences_of_the_output_over_int4_errors(task, found, images):
    fit, name = found.fits[1], task.shape.layers[1].name
    with torch.no_grad():
        before = task.teacher(images).log_softmax(1)
        changed = with_weights(task.teacher, {name: fit.fit(Integer(4))})
        after = changed(images).log_softmax(1)
    divergence = float((before.exp() * (before - after)).sum(1).mean())
    assert found.importances[1] == pytest.approx(divergence / fit.error(Integer(4)), rel=1e-3)
    assert (found.importances > 0).all()


def test_layers_that_change_nothing_count_alike(task, images):
    constant = copy.deepcopy(task.teacher)
    constant.get_submodule(task.shape.layers[-1].name).weight.zero_()
    found = candidates(constant, task.shape, ("int4", "binary"), images)
    assert np.array_equal(found.importances, np.ones(len(task.shape.layers)))


def test_without_images_all_layers_count_alike(task):
    blind = candidates(task.teacher, task.shape, ("int4", "binary"))
    assert np.array_equal(blind.importances, np.ones(len(task.shape.layers)))


def test_banks_are_tried_only_below_two_bits(task, found):
    assert set(conversion_kinds("every", "few")) == set(KINDS) - {"float16", "float32", "tiled", "subbit"}
    assert set(suitable(task.shape, Budget(20_000))) == set(conversion_kinds("every"))
    assert "stacked" in suitable(task.shape, Budget(5000))
    banks = [c for c in layer_candidates(found.fits[2], ("stacked", "binary")) if isinstance(c, Stacked)]
    assert 2 <= len(banks) <= 6 and max(choice.k for choice in banks) <= 64


def test_what_cannot_be_met_is_said_before_anything_is_fitted(task):
    with pytest.raises(InfeasibleBudget, match="needs at least"):
        check_feasible(task.shape, conversion_kinds("every"), Budget(1500))
    with pytest.raises(InfeasibleBudget, match="needs at least"):
        check_feasible(task.shape, ("composite",), Budget(1500))  # a sign each is more
    check_feasible(task.shape, ("composite", "int8"), Budget(10_000))  # int8 is more, planes may not be
    with pytest.raises(BankwiseError, match="unknown kind of conversion 'float16'"):
        check_feasible(task.shape, ("float16",), Budget(15_000))


def test_weights_that_are_no_numbers(task):
    broken, name = copy.deepcopy(task.teacher), task.shape.layers[1].name
    broken.get_submodule(name).weight[0] = float("nan")
    with pytest.raises(BankwiseError, match=f"layer '{name}': a weight is not a finite number"):
        candidates(broken, task.shape, ("binary",))
