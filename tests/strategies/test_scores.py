from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from search_space.basis import Binary, Integer, Stacked, Subbit, Tiled
from search_space.fits import LayerFits
from search_space.shape import LayerShape
from strategies.scores import capture, largest_normal, log_capture, log_rate

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
    assert 0.6 * measured < capture(LAYER, choice) <= measured


def test_capture_of_plain_families():
    assert capture(LAYER, Binary()) == pytest.approx(2 / math.pi)
    values = [capture(LAYER, Integer(bits)) for bits in (2, 4, 8)]
    assert values == sorted(values) and values[-1] < 1


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_capture_of_integers_is_what_a_fit_leaves(bits):
    weight = torch.randn(LAYER.weight_shape, generator=torch.Generator().manual_seed(1))
    left = LayerFits(LAYER, weight).error(Integer(bits))
    assert 1 - capture(LAYER, Integer(bits)) == pytest.approx(left, rel=0.05)


def test_a_family_without_a_closed_form_is_not_taken_for_lossless():
    with pytest.raises(NotImplementedError, match="'strange'"):
        capture(LAYER, SimpleNamespace(family="strange"))


def test_capture_of_the_baselines():
    """A tile is the sign of a sum of p normals: E|sum| = sqrt(2 p/pi), so each captures 2/(pi p); nearest kernels are
    a bank's."""
    assert [capture(LAYER, Tiled(p)) for p in (1, 4)] == pytest.approx([2 / math.pi, 0.5 / math.pi])
    assert capture(LAYER, Subbit(5)) == capture(LAYER, Stacked(32, 1, (3, 3)))


def test_a_tile_pays_for_the_parts_that_it_cuts_the_kernel_into(space):
    layers = space.space.shape.layers
    for layer, choices, row in zip(layers, map(space.choices, range(len(layers))), log_capture(space), strict=True):
        for choice, score in zip(choices, row, strict=True):
            parts = math.prod(layer.kernel) // math.prod(choice.tile) if isinstance(choice, Stacked) else 1
            assert score == pytest.approx(math.log(capture(layer, choice)) - 0.07 * math.log(parts))
    assert len({choice.tile for choice in space.choices(1) if isinstance(choice, Stacked)}) > 1


def test_scores_rise_with_k_and_fall_with_s(space):
    for score in (log_rate, log_capture):
        table = score(space)
        for i in range(len(table)):
            found = {choice: value for choice, value in zip(space.choices(i), table[i], strict=True)}
            for choice, value in found.items():
                if isinstance(choice, Stacked):
                    larger = Stacked(2 * choice.k, choice.s, choice.tile)
                    assert larger not in found or found[larger] > value
