import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Binary, Float, Integer, Sparse, Stacked
from bankwise.search_space.layer import SIZES, GeneratedLayer, build_child, replace_module
from bankwise.search_space.networks import build
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.supernet import MixedLayer
from bankwise.search_space.trace import trace

SHAPE = LayerShape("conv", "conv2d", 6, 4, (3, 3), padding=(1, 1), bias=True, in_size=(8, 8), out_size=(8, 8))


def plan_of(shape: NetworkShape, choice) -> Plan:
    return Plan(shape.network, shape.input_shape, shape.classes, {layer.name: choice for layer in shape.layers})


class Mixed(nn.Module):
    """Every padding mode, groups, strides, dilation, uneven padding, a layer used twice and a linear layer."""

    def __init__(self):
        super().__init__()
        modes = ["zeros", "reflect", "replicate", "circular"]
        self.modes = nn.ModuleList(nn.Conv2d(4, 4, (3, 2), padding=(2, 1), padding_mode=mode) for mode in modes)
        self.same = nn.ModuleList(nn.Conv2d(4, 4, (4, 2), padding="same", padding_mode=mode) for mode in modes)
        self.strided = nn.Conv2d(4, 8, 3, stride=(2, 1), padding=1, dilation=(1, 2), groups=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        for conv in [*self.modes, *self.same]:
            x = torch.tanh(conv(x))
        x = self.norm(self.strided(x))
        return self.head(self.twice(torch.tanh(self.twice(x))).mean((2, 3)))


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
def test_a_child_of_float_layers_is_its_teacher():
    torch.manual_seed(0)
    network, teacher = Mixed(), Mixed()
    teacher.norm.running_mean.normal_()
    shape = trace(network, "mixed", (4, 9, 11), 3)
    child = build_child(network, shape, plan_of(shape, Float(32)), seed=0, teacher=teacher).eval()
    x = torch.randn(3, 4, 9, 11)
    torch.testing.assert_close(child(x), teacher.eval()(x), rtol=1e-6, atol=1e-6)
    assert sum(isinstance(module, GeneratedLayer) for module in child.modules()) == len(shape.layers) == 11


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
def test_merge_runs_uneven_padding_as_the_convolution_does():
    network = nn.Sequential(nn.Conv2d(4, 6, (4, 2), padding="same", bias=False), nn.Flatten(), nn.Linear(6 * 25, 2))
    shape = trace(network, "net", (4, 5, 5), 2)
    layer = GeneratedLayer(shape.layers[0], Stacked(4, 2, (2, 1)))
    x = torch.randn(2, 4, 5, 5)
    materialized = layer(x)
    assert materialized.shape == (2, 6, 5, 5)
    layer.run = "merge"
    torch.testing.assert_close(layer(x), materialized)


def test_merge_with_another_padding_is_an_error():
    layer = GeneratedLayer(SHAPE, Stacked(4, 2, (3, 3)), "reflect")
    layer.run = "merge"
    with pytest.raises(BankwiseError, match="'conv': split-transform-merge needs zero padding"):
        layer(torch.randn(1, 4, 8, 8))


@pytest.mark.parametrize(
    "choice", [Stacked(8, 2, (3, 3)), Sparse(8, 2, (3, 3), 2, 2, 2), Binary(), Integer(3)], ids=str
)
def test_start_from_takes_the_least_squares_scale_and_the_bias(choice):
    layer = GeneratedLayer(SHAPE, choice, generator=torch.Generator().manual_seed(0))
    weight, bias = torch.randn(SHAPE.weight_shape), torch.randn(6)
    layer.start_from(weight, bias)
    assert torch.equal(layer.bias, bias)
    best = (layer.generated() - weight).square().sum((1, 2, 3))
    for factor in (0.98, 1.02):
        moved = layer.basis() * (layer.scale * factor)[:, None, None, None]
        assert ((moved - weight).square().sum((1, 2, 3)) >= best).all()
    assert (best < weight.square().sum((1, 2, 3))).all()


@pytest.mark.parametrize(
    "choice", [Stacked(8, 2, (3, 3)), Sparse(8, 2, (3, 3), 2, 2, 2), Binary(), Integer(3), Float(16)], ids=str
)
def test_a_dead_filter_starts_finite(choice):
    layer = GeneratedLayer(SHAPE, choice)
    weight = torch.randn(SHAPE.weight_shape)
    weight[2] = 0
    layer.start_from(weight, None)
    assert all(torch.isfinite(parameter).all() for parameter in layer.parameters())
    assert layer.generated()[2].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("normalized", "choice", "names"),
    [
        (True, Stacked(4, 2, (3, 3)), "basis.bank basis.proxies"),
        (False, Stacked(4, 2, (3, 3)), "basis.bank basis.proxies bias scale"),
        (False, Float(16), "basis.latent bias"),
        (True, Float(16), "basis.latent"),
    ],
    ids=str,
)
def test_a_norm_behind_carries_scale_and_bias(normalized, choice, names):
    shape = LayerShape("conv", "conv2d", 6, 4, (3, 3), bias=True, normalized=normalized)
    assert {name for name, _ in GeneratedLayer(shape, choice).named_parameters()} == set(names.split())


def test_a_linear_layer_takes_any_leading_dimensions_in_both_ways():
    layer = GeneratedLayer(LayerShape("fc", "linear", 6, 4, bias=True), Stacked(3, 2, (1, 1)))
    with torch.no_grad():
        layer.bias.normal_()
    for size in ((4,), (2, 4), (2, 3, 5, 4)):
        x = torch.randn(size)
        layer.run = "materialized"
        wanted = layer(x)
        torch.testing.assert_close(wanted, F.linear(x, layer.generated()[:, :, 0, 0], layer.bias))
        layer.run = "merge"
        torch.testing.assert_close(layer(x), wanted)


def test_same_seed_same_child_and_the_network_stays_as_it_was():
    network = build("tiny@0.25", classes=10, in_channels=1)
    before = copy.deepcopy(network.state_dict())
    shape = trace(network, "tiny@0.25", (1, 8, 8), 10)
    first, second, other = (build_child(network, shape, plan_of(shape, Binary()), seed) for seed in (1, 1, 2))
    states = [child.state_dict() for child in (first, second, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_child_of_one_layer_is_its_teacher_elsewhere():
    network, teacher = (build("tiny@0.25", classes=10, in_channels=1) for _ in range(2))
    shape = trace(network, "tiny@0.25", (1, 8, 8), 10)
    for layer in shape.layers:
        child = build_child(network, shape, plan_of(shape, Binary()), 1, teacher, [layer])
        generated = [name for name, module in child.named_modules() if isinstance(module, GeneratedLayer)]
        assert generated == [layer.name]
        state = child.state_dict()
        assert all(
            torch.equal(state[name], value)
            for name, value in teacher.state_dict().items()
            if not name.startswith(f"{layer.name}.")
        )


def test_a_module_with_two_names_is_replaced_under_both():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU()))
    network[1].add_module("again", network[0])
    new = nn.Identity()
    replace_module(network, "0", new)
    assert network[0] is new and network[1].again is new


@pytest.mark.parametrize(
    "original", [nn.Conv2d(4, 6, (3, 1), 2, (1, 0), groups=2), nn.Linear(5, 3)], ids=["conv", "fc"]
)
def test_what_stands_for_a_layer_has_its_attributes(original):
    """Those that forward passes read: sizes, and the weight with its type, device and shape."""
    linear = isinstance(original, nn.Linear)
    shape = (
        LayerShape("0", "linear", 3, 5)
        if linear
        else LayerShape("0", "conv2d", 6, 2, (3, 1), 2, (2, 2), (1, 0), in_size=(8, 8), out_size=(4, 4))
    )
    mixed = MixedLayer(shape, [Binary(), Integer(4)], "zeros", torch.Generator().manual_seed(0))
    names = [name for name in SIZES if hasattr(original, name)]
    for module in (GeneratedLayer(shape, Binary()), mixed):
        network = nn.Sequential(copy.deepcopy(original))
        replace_module(network, "0", module)
        assert {name: getattr(module, name) for name in names} == {name: getattr(original, name) for name in names}
        weight = module.weight
        assert (weight.shape, weight.dtype, weight.device) == (
            original.weight.shape, original.weight.dtype, original.weight.device,
        )  # fmt: skip
        assert torch.equal(weight.flatten(), module.generated().flatten())
