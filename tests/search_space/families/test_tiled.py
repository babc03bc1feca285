"""Tiled Bit Networks against a slow form and the paper's bits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.basis.signs import sign
from bankwise.search_space.basis.tile import fitted_scales, tile_of, tiled
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Binary, Tiled
from bankwise.search_space.families.bank import divisors
from bankwise.search_space.networks import build
from bankwise.search_space.parts import layer_parts
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import paper_bits, price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.trace import trace

SHAPE = LayerShape("conv", "conv2d", 6, 4, (3, 3), padding=(1, 1), in_size=(8, 8), out_size=(8, 8))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("p", [1, 2, 4, 8, 9, 27])
def test_weight_by_loops_over_repeats_and_places(p):
    basis = Tiled(p).basis(SHAPE, seeded(p))
    latent, sizes = basis.latent.detach().flatten(), basis.sizes.detach().flatten()
    length = SHAPE.weights // p
    wanted = []
    for repeat in range(p):
        scale = sum(abs(sizes[repeat * length + j].item()) for j in range(length)) / length
        for j in range(length):
            total = sum(latent[i * length + j].item() for i in range(p))
            wanted.append(scale if total >= 0 else -scale)
    torch.testing.assert_close(basis().detach().flatten(), torch.tensor(wanted), rtol=2**-10, atol=0)


@pytest.mark.parametrize("p", [1, 4, 9])
def test_gradients_are_those_of_sum_and_mean(p):
    """By autograd to the summed latent weight, the sign passed straight through, and to A."""
    basis = Tiled(p).basis(SHAPE, seeded(0))
    target = torch.randn(SHAPE.weight_shape, generator=seeded(1))
    (basis() * target).sum().backward()
    length = SHAPE.weights // p
    latent, sizes = (parameter.detach().clone().requires_grad_() for parameter in (basis.latent, basis.sizes))
    total = latent.reshape(p, length).sum(0)
    tile = total + (sign(total) - total).detach()
    scales = sizes.abs().reshape(p, length).mean(1)
    scales = scales + (scales.half().float() - scales).detach()
    (scales[:, None] * tile * target.reshape(p, length)).sum().backward()
    torch.testing.assert_close(basis.sizes.grad, sizes.grad)
    torch.testing.assert_close(basis.latent.grad, latent.grad)


@given(layer=st.from_type(LayerShape), data=st.data())
def test_bits(layer, data):
    p = data.draw(st.sampled_from(divisors(layer.weights)))
    assert paper_bits(layer, Tiled(p)) == layer.weights // p + 32 * p
    names = [(part.name, part.total_bits) for part in layer_parts(layer, Tiled(p), 8)]
    assert names[:2] == [("signs", layer.weights // p), ("scales", 16 * p)]
    assert "scale" not in dict(names)  # its own scales are enough where no norm follows


# Published bits a weight of ResNet-18 for CIFAR-10, to the digits given.
@pytest.mark.parametrize(("p", "published"), [(4, "0.258"), (8, "0.135"), (16, "0.07")])
def test_published_bits_of_resnet18(p, published):
    """The first four layers and the last at p = 1, every other one, the shortcuts too, at p; the scales count, batch
    norms do not. Without the scales p = 8 would be 0.134."""
    with torch.device("meta"):
        shape = trace(build("resnet18", classes=10, in_channels=3), "resnet18", (3, 32, 32), 10)
    whole = {0, 1, 2, 3, len(shape.layers) - 1}
    layers = {layer.name: Tiled(1 if i in whole else p) for i, layer in enumerate(shape.layers)}
    cost = price(shape, Plan("resnet18", (3, 32, 32), 10, layers))
    assert f"{cost.paper_bits_per_weight:.{len(published) - 2}f}" == published
    tiles = sum(layer.weights // (1 if i in whole else p) for i, layer in enumerate(shape.layers))
    assert f"{tiles / shape.weights:.3f}" == {4: "0.258", 8: "0.134", 16: "0.072"}[p]


@given(layer=st.from_type(LayerShape))
def test_choices_are_every_p_that_saves_file_bits(layer):
    choices = Tiled.offered(layer, "tiled", SpaceSettings())
    bits = {p: [part.total_bits for part in Tiled(p).parts(layer)] for p in divisors(layer.weights)}
    offered = [choice.p for choice in choices]
    assert offered == [p for p, (tile, scales) in bits.items() if scales <= tile or p == 1]
    for choice in choices:
        choice.check(layer)
        assert all(sum(bits[choice.p]) < sum(bits[p]) for p in offered if p < choice.p)


@given(st.integers(1, 64), st.integers(1, 64))
def test_pieces_of_a_filter_in_a_repeat_are_counted(n, p):
    layer = LayerShape("fc", "linear", n, p // math.gcd(p, n), out_size=(3, 1))
    cost = Tiled(p).operations(layer, "merge")
    filter_size, length = layer.weights // n, layer.weights // p
    pieces = len({(i // filter_size, i // length) for i in range(layer.weights)})
    assert cost.multiplications == (0 if n % p == 0 else 3 * pieces)
    assert cost.additions == Binary().operations(layer, "merge").additions


def test_scales_are_least_squares_and_none_is_lost():
    weight = torch.randn(6, 4, 3, 3, generator=seeded(2))
    weight[:2] *= 5
    tile = tile_of(weight, 3)
    scales = fitted_scales(weight, tile)
    for part, scale in zip(weight.reshape(3, -1), scales, strict=True):
        best = ((part * tile).sum() / tile.square().sum()).clamp(min=0.01 * weight.abs().mean())
        torch.testing.assert_close(scale, best)
    basis = Tiled(3).basis(SHAPE)
    basis.start_from(weight)
    torch.testing.assert_close(basis().detach(), tiled(weight, 3), rtol=2**-10, atol=0)
    basis.start_from(torch.zeros_like(weight))
    assert torch.isfinite(basis()).all()


@pytest.mark.parametrize("p", [1, 2, 8])
def test_a_tile_captures_what_the_closed_form_says(p):
    weight = torch.randn(64, 64, 3, 3, generator=seeded(3))
    error = (weight - tiled(weight, p)).square().sum() / weight.square().sum()
    assert 1 - error.item() == pytest.approx(2 / (math.pi * p), rel=0.02)


@pytest.mark.parametrize(("p", "near"), [(5, "4, 6"), (7, "6, 8"), (1000, "216"), (0, "1")])
def test_a_p_that_does_not_divide_names_the_nearest(p, near):
    with pytest.raises(BankwiseError, match=f"p={p} does not divide the layer's 216 weights; .*: {near}$"):
        Tiled(p).check(SHAPE)
