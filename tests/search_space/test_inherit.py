"""A child's layer that inherits has the weight of the supernet's layer run with its choice alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.families import KINDS, Composite, Float, Integer, Sparse, Stacked, Subbit, Tiled
from bankwise.search_space.inherit import inherit
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.space import SpaceSettings, layer_choices
from bankwise.search_space.supernet import MixedLayer, MixWeights


@st.composite
def layers(draw) -> LayerShape:
    n, c, height, width = (draw(st.integers(1, most)) for most in (8, 8, 3, 3))
    return LayerShape(
        "layer", "conv2d", n, c, (height, width), bias=draw(st.booleans()), normalized=draw(st.booleans())
    )


def weight_of(mixed: MixedLayer, chosen: int) -> torch.Tensor:
    alone = torch.nn.functional.one_hot(torch.tensor(chosen), len(mixed.choices)).float()
    return MixWeights.apply(mixed.latent, mixed.bank, alone, mixed.choices)


@given(layer=layers(), data=st.data())
def test_the_weight_is_exactly_that_of_the_choice_alone(layer, data):
    choices = layer_choices(layer, KINDS, SpaceSettings(max_k=16))
    seed = data.draw(st.integers(0, 999))
    mixed = MixedLayer(layer, choices, "zeros", torch.Generator().manual_seed(seed))
    i = data.draw(st.integers(0, len(choices) - 1))
    child, wanted = inherit(mixed, i), weight_of(mixed, i).detach()
    weight = child.generated().detach()
    if isinstance(choices[i], Composite) and choices[i].ranks:  # fitted anew
        assert 0 < torch.nn.functional.cosine_similarity(weight.flatten(), wanted.flatten(), 0) <= 1 + 1e-6
    elif layer.normalized and choices[i].scaled:
        largest = wanted.abs().amax((1, 2, 3), keepdim=True)  # the norm takes it away
        torch.testing.assert_close(weight * largest / weight.abs().amax((1, 2, 3), keepdim=True), wanted)
    elif isinstance(choices[i], (Integer, Float, Sparse, Composite)):
        torch.testing.assert_close(weight, wanted)
    elif isinstance(choices[i], Tiled):
        torch.testing.assert_close(weight, wanted, rtol=2**-10, atol=1e-7)  # its scales have half precision
    else:
        assert torch.equal(weight, wanted)
    packed = choices[i].weight(layer, child.basis.codes())
    assert torch.equal(packed.sign(), child.basis().sign()) or isinstance(choices[i], Float)


@pytest.mark.parametrize("choice", [Stacked(2, 1, (3, 3)), Subbit(1)], ids=str)
@pytest.mark.parametrize("normalized", [False, True])
def test_a_bank_that_points_away(normalized, choice):
    """Two equal filters, and a latent weight on the other side of them: the least-squares scale is negative."""
    layer = LayerShape("away", "conv2d", 4, 2, (3, 3), normalized=normalized)
    mixed = MixedLayer(layer, (choice,), "zeros", torch.Generator().manual_seed(0))
    with torch.no_grad():
        mixed.bank.fill_(0.3)
        mixed.latent.copy_(-mixed.latent.abs())
    wanted = weight_of(mixed, 0)
    assert (wanted < 0).all()
    weight = inherit(mixed, 0).generated()
    assert torch.equal(weight.sign() if normalized else weight, wanted.sign() if normalized else wanted)


def test_bank_and_proxies_are_spread_as_in_a_fresh_layer():
    layer = LayerShape("spread", "conv2d", 16, 8, (3, 3), normalized=True)
    mixed = MixedLayer(layer, (Stacked(8, 4, (3, 3)),), "zeros", torch.Generator().manual_seed(0))
    fresh = mixed.choices[0].basis(layer, torch.Generator().manual_seed(0))
    basis = inherit(mixed, 0).basis.requires_grad_(False)
    assert basis.bank.abs().mean().item() == pytest.approx(fresh.bank.abs().mean().item(), rel=0.5)
    assert basis.proxies.std().item() == pytest.approx(fresh.proxies.std().item(), rel=0.5)
    best, second = basis.proxies.topk(2).values.unbind(1)
    assert (best > second).all()
