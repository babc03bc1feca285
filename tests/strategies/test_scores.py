from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from bankwise.search_space.basis.gaussian import largest_normal
from bankwise.search_space.budget import Budget
from bankwise.search_space.families import Binary, Integer, Stacked, Subbit, Tiled
from bankwise.search_space.fits import LayerFits
from bankwise.search_space.limits import Limits
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.search_space.vector import VECTORS
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.learned import LEARNED, Constants
from bankwise.strategies.scores import importances, log_capture, log_rate, weighted_capture

SHAPE = shape_of("tiny", (1, 8, 8), 10)
LAYER = LayerShape("layer", "conv2d", n=64, c=64, kernel=(3, 3))


def test_largest_normal_against_known_moments():
    """Means of the largest of 2 and 3 normals are 1/sqrt(pi) and 3/(2 sqrt(pi))."""
    assert largest_normal(2) == pytest.approx(1 / math.sqrt(math.pi))
    assert largest_normal(3) == pytest.approx(1.5 / math.sqrt(math.pi))


@pytest.mark.parametrize(("k", "s"), [(4, 4), (16, 2), (64, 8)])
def test_capture_bounds_what_random_sign_vectors_capture(k, s):
    """The formula saturates below the plain m_k^2/d, which the mean over random banks measures."""
    choice = Stacked(k, s, (3, 3))
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(40):
        bank = rng.choice([-1.0, 1.0], (k, choice.dimension))
        slots = rng.normal(size=(2000, choice.dimension))
        best = (slots @ bank.T).max(1).mean() / choice.dimension
        shares.append(best**2)
    measured = float(np.mean(shares))
    assert measured == pytest.approx(largest_normal(k) ** 2 / choice.dimension, rel=0.1)
    assert 0.6 * measured < choice.capture(LAYER) <= measured


def test_capture_of_plain_families():
    assert Binary().capture(LAYER) == pytest.approx(2 / math.pi)
    values = [Integer(bits).capture(LAYER) for bits in (2, 4, 8)]
    assert values == sorted(values) and values[-1] < 1


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_capture_of_integers_is_what_a_fit_leaves(bits):
    weight = torch.randn(LAYER.weight_shape, generator=torch.Generator().manual_seed(1))
    left = LayerFits(LAYER, weight).error(Integer(bits))
    assert 1 - Integer(bits).capture(LAYER) == pytest.approx(left, rel=0.05)


def test_capture_of_the_baselines():
    """A tile is the sign of a sum of p normals: E|sum| = sqrt(2 p/pi), so each captures 2/(pi p); nearest kernels are
    a bank's."""
    assert [Tiled(p).capture(LAYER) for p in (1, 4)] == pytest.approx([2 / math.pi, 0.5 / math.pi])
    assert Subbit(5).capture(LAYER) == Stacked(32, 1, (3, 3)).capture(LAYER)


CONSTANTS = Constants(0.2, -0.3, 0.5, 1.0, -0.4, split=-0.07, bank=0.1, dimension=-0.2, families={"binary": 0.3})


def test_what_a_choice_captures_is_worth_more_or_less_by_its_tile_bank_and_family(space):
    layers = space.space.shape.layers
    rows = zip(layers, map(space.choices, range(len(layers))), log_capture(space, CONSTANTS), strict=True)
    for layer, choices, row in rows:
        for choice, score in zip(choices, row, strict=True):
            expected = math.log(choice.capture(layer)) + 0.3 * (choice.family == "binary")
            if isinstance(choice, Stacked):
                parts = math.prod(layer.kernel) // math.prod(choice.tile)
                expected += -0.07 * math.log(parts) + 0.1 * math.log(choice.k) - 0.2 * math.log(choice.s)
            assert score == pytest.approx(expected)
    assert len({choice.tile for choice in space.choices(1) if isinstance(choice, Stacked)}) > 1


def test_the_importance_of_a_layer_is_that_of_its_size_its_map_and_its_place(space):
    """tiny: 16, 32/2, 32, 64/2 on 8x8 images, then 64 x 10, up to a common factor."""
    weights = np.array([144, 4608, 9216, 18432, 640.0])
    positions = np.array([64, 16, 16, 4, 1.0])
    place = np.exp(0.5 * np.array([-0.5, -0.25, 0, 0.25, 0.5]) + [1.0, 0, 0, 0, -0.4])
    expected = np.log(weights**0.2 * positions**-0.3 * place)
    found = importances(space, CONSTANTS)
    assert found.mean() == pytest.approx(0) and found == pytest.approx(expected - expected.mean())
    for row, weight, captured in zip(
        weighted_capture(space, CONSTANTS), np.exp(found), log_capture(space, CONSTANTS), strict=True
    ):
        assert row == pytest.approx(weight * captured)


def test_scores_rise_with_k_and_fall_with_s(space):
    for score in (log_rate, log_capture):
        table = score(space)
        for i in range(len(table)):
            found = {choice: value for choice, value in zip(space.choices(i), table[i], strict=True)}
            for choice, value in found.items():
                if isinstance(choice, Stacked):
                    larger = Stacked(2 * choice.k, choice.s, choice.tile)
                    assert larger not in found or found[larger] > value


def test_coarse_vectors_take_what_they_lose_from_both_scores():
    """Of a choice with and without: the closed form of the loss of scale and shift, for the layer's channels."""
    space = SearchSpace(SHAPE, SpaceSettings(("binary",), ("binary",), ("binary",), vectors=("v8", "v4", "s4")))
    whole = BudgetedSpace(space, Budget(10**6))
    plain = BudgetedSpace(SearchSpace(SHAPE, SpaceSettings(("binary",), ("binary",), ("binary",))), Budget(10**6))
    for score in (log_rate, log_capture):
        for layer, row, (alone,) in zip(SHAPE.layers, score(whole), score(plain), strict=True):
            kept = [VECTORS[name].kept(layer.n) for name in ("v8", "v4", "s4")]
            assert row == pytest.approx(alone + np.log(kept)) and kept == sorted(kept, reverse=True)


def test_one_scale_for_a_layer_costs_more_where_filters_see_one_channel():
    """Of dscnn: in both scores what was learned of depthwise layers, and no other layer or storage has it."""
    shape = shape_of("dscnn@0.5", (1, 8, 8), 10)
    kinds, vectors = ("binary",), ("v8", "v4", "s8", "s4")
    space = BudgetedSpace(SearchSpace(shape, SpaceSettings(kinds, kinds, kinds, vectors=vectors)), Budget(10**6))
    told = dataclasses.replace(LEARNED, shared_depthwise=0.0)
    for now, before in ((log_capture(space), log_capture(space, told)), (log_rate(space), None)):
        for i, layer in enumerate(shape.layers):
            stored = [choice.vectors or "v8" for choice in space.choices(i)]
            expected = {name: LEARNED.shared_depthwise * (layer.groups > 1 and name[0] == "s") for name in vectors}
            plain = before[i] if before else [math.log(VECTORS[name].kept(layer.n)) for name in stored]
            assert now[i] - plain == pytest.approx([expected[name] for name in stored])


@pytest.mark.parametrize("size", [1300, 1500, 2000])
def test_the_closed_form_keeps_a_scale_for_every_depthwise_filter(size):
    shape = shape_of("dscnn@0.5", (1, 28, 28), 10)
    space = BudgetedSpace.of(shape, SpaceSettings(), Limits.of(Budget(size)))
    plan = space.plan(space.solve(weighted_capture(space)))
    stored = [plan.layers[layer.name].vectors for layer in shape.layers if layer.groups > 1]
    assert len(stored) == 4 and "s4" not in stored
