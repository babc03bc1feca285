from dataclasses import replace

import pytest
import torch

from bankwise.search_space.families import Binary
from bankwise.search_space.layer import GeneratedLayer
from bankwise.search_space.networks import build
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.trace import trace

SHAPE = LayerShape("conv", "conv2d", 4, 3, (3, 3), padding=(1, 1), in_size=(8, 8), out_size=(8, 8))


def test_a_weight_is_its_sign_and_one_bit():
    basis = Binary().basis(SHAPE)
    weight = torch.randn(SHAPE.weight_shape)
    basis.start_from(weight)
    assert torch.equal(basis(), weight.sign())
    assert [part.total_bits for part in Binary().parts(SHAPE)] == [4 * 3 * 9]


def test_a_device_multiplies_nothing():
    merge = Binary().operations(SHAPE, "merge")
    assert (merge.multiplications, merge.additions, merge.map_bytes) == (0, 4 * 3 * 9 * 64, 0)


@pytest.mark.parametrize("normalized", [False, True])
def test_a_filters_scale_is_its_mean_magnitude(normalized):
    """BWN: alpha = |W|_1 / (c d_h d_w) starts as a vector of its own, or is left to the norm behind."""
    weight = torch.randn(SHAPE.weight_shape) * torch.rand(4, 1, 1, 1)
    layer = GeneratedLayer(replace(SHAPE, normalized=normalized), Binary())
    layer.start_from(weight, None)
    if normalized:
        assert layer.scale is None
    else:
        torch.testing.assert_close(layer.scale.detach(), weight.abs().mean((1, 2, 3)))
        made = layer.generated().detach()
        torch.testing.assert_close(made, weight.sign() * weight.abs().mean((1, 2, 3), keepdim=True))


@pytest.mark.parametrize("name", ["resnet20", "vgg_small"])
def test_one_bit_a_weight_as_published(name):
    with torch.device("meta"):
        shape = trace(build(name, classes=10, in_channels=3), name, (3, 32, 32), 10)
    cost = price(shape, Plan(name, (3, 32, 32), 10, {layer.name: Binary() for layer in shape.layers}))
    assert cost.paper_bits_per_weight == 1


def test_the_gradient_goes_straight_through_within_one():
    basis = Binary().basis(SHAPE)
    with torch.no_grad():
        basis.latent.mul_(6)
    gradient = torch.randn(SHAPE.weight_shape)
    basis().backward(gradient)
    inside = basis.latent.detach().abs() <= 1
    assert 0 < inside.float().mean() < 1
    assert torch.equal(basis.latent.grad, gradient * inside)
