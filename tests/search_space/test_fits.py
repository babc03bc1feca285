"""Fits without training: their errors against the fits themselves, and the packed network against the float one."""

import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bankwise.search_space.families import Binary, Composite, Float, Integer, Stacked
from bankwise.search_space.families.composite import BOTTLENECKS, PLANES
from bankwise.search_space.fits import LayerFits, converted, with_weights
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.search_space.targets.file.layout import choice_bytes
from bankwise.search_space.trace import trace

LAYER = LayerShape("conv", "conv2d", 12, 16, (3, 3))
CHOICES = [Stacked(8, 2, (3, 3)), Binary(), Integer(3), Float(16), Composite(3, (2,)), Composite(4, ())]


def weight(layer: LayerShape = LAYER) -> torch.Tensor:
    return torch.randn(layer.weight_shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("energy", [None, torch.rand(1, 16, 1, 1) + 0.1, torch.rand(12, 16, 1, 1) + 0.1])
@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_the_error_is_that_of_the_fit_with_the_best_scale_of_each_filter(choice, energy):
    fits = LayerFits(LAYER, weight(), energy)
    fit = fits.fit(choice)
    assert torch.equal(choice.weight(LAYER, fit.codes), fit.weight)
    weights = torch.ones(()) if energy is None else energy

    def error(scale: torch.Tensor) -> float:
        rest = weight() - fit.weight * scale[:, None, None, None]
        return float((rest.square() * weights).sum() / (weight().square() * weights).sum())

    scale = torch.ones(12) if fit.scale is None else fit.scale
    assert fits.error(choice) == pytest.approx(error(scale), rel=1e-4, abs=1e-7)
    for other in (0.98 * scale, 1.02 * scale):
        assert error(other) > error(scale)


def test_composites_are_efficient_and_keep_what_they_resolve():
    fits = LayerFits(LAYER, weight())
    found = fits.fitter(Composite).choices()
    assert {Composite(planes, ()) for planes in PLANES} <= set(found) and len(found) <= len(PLANES) * 5
    for choice in found:
        choice.check(LAYER)
        assert fits.fit(choice).codes["levels"].shape == (36, 48)
    factorized = sorted((c for c in found if c.ranks), key=lambda c: choice_bytes(LAYER, c, 16))
    errors = [fits.error(choice) for choice in factorized]
    assert errors == sorted(errors, reverse=True)
    fits.close()
    assert [fits.error(choice) for choice in factorized] == errors
    with_one_scale = LayerFits(LAYER, weight() * torch.logspace(0, 1, 12)[:, None, None, None], per_filter=False)
    assert with_one_scale.fitter(Composite).resolve(4, BOTTLENECKS[-1]).planes >= 4


def test_a_large_layer_is_measured_on_some_of_its_filters():
    layer = LayerShape("fc", "linear", 4096, 512)
    fits = LayerFits(layer, weight(layer))
    for choice in (Binary(), Integer(4), Composite(4, ())):
        fit = fits.fit(choice)
        whole = (weight(layer) - fit.scaled).square().sum() / weight(layer).square().sum()
        assert fits.error(choice) == pytest.approx(float(whole), rel=0.02)


def test_a_filter_of_zeros_and_a_layer_of_zeros():
    some = weight()
    some[3] = 0
    for choice in CHOICES:
        assert torch.isfinite(LayerFits(LAYER, some).fit(choice).scaled).all()
        assert LayerFits(LAYER, torch.zeros(LAYER.weight_shape)).error(choice) == 0.0


class Net(nn.Module):
    """Layers with every kind of neighbour: norms with and without parameters, biases, neither."""

    def __init__(self):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.norm2 = nn.Conv2d(8, 8, 3, groups=2, bias=False), nn.BatchNorm2d(8, affine=False)
        self.third, self.last = nn.Conv2d(8, 6, 1), nn.Linear(6, 4, bias=False)

    def forward(self, x):
        x = self.norm1(self.first(x)).relu()
        x = self.norm2(self.second(x)).relu()
        return self.last(self.third(x).relu().mean((2, 3)))


@settings(max_examples=25)
@given(seed=st.integers(0, 50), vector_bits=st.sampled_from([8, 16, 32]), data=st.data())
def test_the_packed_network_is_the_trained_one_with_the_fitted_weights(seed, vector_bits, data):
    torch.manual_seed(seed)
    network = Net().eval()
    for norm in (network.norm1, network.norm2):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.3, 2)
    nn.init.normal_(network.norm1.weight)
    sys.modules["net_of_a_user"] = types.ModuleType("net_of_a_user")
    sys.modules["net_of_a_user"].make = Net
    shape = trace(network, "net_of_a_user:make", (3, 8, 8), 4)
    assert {layer.name: layer.norm for layer in shape.layers if layer.norm} == {"first": "norm1", "second": "norm2"}
    fits, layers = {}, {}
    for layer in shape.layers:
        one = LayerFits(layer, network.get_submodule(layer.name).weight)
        choice = data.draw(st.sampled_from([Binary(), Integer(4), *one.fitter(Composite).choices()[:3]]))
        fits[layer.name], layers[layer.name] = one.fit(choice), choice
    plan = Plan(shape.network, shape.input_shape, 4, layers, vector_bits=vector_bits)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    file = encode(shape, plan, pack(converted(network, shape, fits), shape, plan))
    assert len(file) == price(shape, plan).file_bytes
    x = torch.randn(5, 3, 8, 8)
    wanted = with_weights(network, fits)(x).detach()
    tolerance = {8: 0.1, 16: 5e-3, 32: 1e-4}[vector_bits] * float(wanted.abs().max())
    torch.testing.assert_close(decode(file, allow_code=True).network()(x), wanted, rtol=0, atol=tolerance)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
