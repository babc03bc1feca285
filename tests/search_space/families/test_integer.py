import pytest
import torch

from bankwise.search_space.families import Integer
from bankwise.search_space.shape import LayerShape

SHAPE = LayerShape("conv", "conv2d", 4, 3, (3, 3))


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_are_the_nearest_levels_and_the_largest_of_a_filter_is_one(bits):
    choice = Integer(bits)
    basis = choice.basis(SHAPE)
    weight = torch.randn(SHAPE.weight_shape, generator=torch.Generator().manual_seed(0))
    basis.start_from(weight)
    given = basis().detach()
    steps = given * choice.levels
    assert torch.allclose(steps, steps.round(), atol=1e-4)
    assert torch.equal(given.abs().amax((1, 2, 3)), torch.ones(4))
    normalized = weight / weight.abs().amax((1, 2, 3), keepdim=True)
    assert (given - normalized).abs().max() <= 0.5 / choice.levels + 1e-6


def test_codes_use_levels_on_both_sides_of_zero():
    codes = Integer(2).basis(SHAPE).codes()["levels"]
    assert set(codes.unique().tolist()) == {0, 1, 2}


def test_a_filter_of_zeros_stays_one():
    basis = Integer(4).basis(SHAPE)
    basis.start_from(torch.zeros(SHAPE.weight_shape))
    assert torch.equal(basis(), torch.zeros(SHAPE.weight_shape))
    assert torch.equal(Integer(4).weight(SHAPE, basis.codes()), torch.zeros(SHAPE.weight_shape))
