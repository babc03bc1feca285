"""The stacked basis against slow forms of the same thing."""

import itertools
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.basis.lloyd import lloyd
from bankwise.search_space.basis.selection import OneHot, Select
from bankwise.search_space.basis.signs import Sign, sign
from bankwise.search_space.basis.slots import from_slots, to_slots
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.bank import divisors, map_length
from bankwise.search_space.families.stacked import Stacked, StackedBasis
from bankwise.search_space.layer import GeneratedLayer
from bankwise.search_space.shape import LayerShape

SHAPE = LayerShape("conv", "conv2d", 16, 8, (3, 3), padding=(1, 1), in_size=(8, 8), out_size=(8, 8))


def draw_choice(data, layer: LayerShape) -> Stacked:
    tile = tuple(data.draw(st.sampled_from(divisors(d))) for d in layer.kernel)
    s = data.draw(st.sampled_from(divisors(layer.c)))
    dimension = s * math.prod(tile)
    most = min(2**dimension, layer.weights // dimension, 20)
    assume(most >= 2)
    return Stacked(data.draw(st.integers(2, most)), s, tile)


def draw_input(layer: LayerShape) -> torch.Tensor:
    if layer.kind == "linear":
        return torch.randn(3, 2, layer.c)
    return torch.randn(2, layer.groups * layer.c, *layer.in_size)


def reference_layer(layer: LayerShape) -> nn.Module:
    if layer.kind == "linear":
        return nn.Linear(layer.c, layer.n, bias=False)
    return nn.Conv2d(
        layer.groups * layer.c, layer.n, layer.kernel, layer.stride, layer.padding, layer.dilation, layer.groups, False
    )


@given(layer=st.from_type(LayerShape), data=st.data())
def test_both_ways_of_running_agree_forward_and_backward(layer, data):
    choice = draw_choice(data, layer)
    torch.manual_seed(0)
    module = GeneratedLayer(layer, choice).double()
    x = draw_input(layer).double().requires_grad_()
    wanted = module(x)
    loss_weights = torch.randn_like(wanted)
    inputs = [x, *module.parameters()]
    gradients = torch.autograd.grad((wanted * loss_weights).sum(), inputs)
    module.run = "merge"
    merged = module(x)
    torch.testing.assert_close(merged, wanted)
    names = ["x", *(name for name, _ in module.named_parameters())]
    assert {"basis.bank", "basis.proxies"} <= set(names)
    for name, mine, other in zip(
        names, torch.autograd.grad((merged * loss_weights).sum(), inputs), gradients, strict=True
    ):
        torch.testing.assert_close(mine, other, msg=lambda text, name=name: f"{name}: {text}")


@given(layer=st.from_type(LayerShape), data=st.data())
def test_the_convolution_is_the_ordinary_one_of_the_generated_weight(layer, data):
    choice = draw_choice(data, layer)
    module, reference = GeneratedLayer(layer, choice), reference_layer(layer)
    with torch.no_grad():
        reference.weight.copy_(module.generated().reshape(reference.weight.shape))
        x = draw_input(layer)
        torch.testing.assert_close(module(x), reference(x))
    if layer.kind == "conv2d":
        assert module(x).shape[2:] == layer.out_size


@given(layer=st.from_type(LayerShape), data=st.data())
def test_the_weight_is_the_bank_filters_stacked(layer, data):
    """Every slot, found by its own loops, holds the bank filter that its index names."""
    choice = draw_choice(data, layer)
    basis = StackedBasis(choice, layer, torch.Generator().manual_seed(1))
    weight, codes = basis(), basis.codes()
    filters = (codes["bank"] * 2 - 1).reshape(choice.k, choice.s, *choice.tile)
    (t_h, t_w), s = choice.tile, choice.s
    rows, columns = layer.kernel[0] // t_h, layer.kernel[1] // t_w
    places = itertools.product(range(layer.n), range(layer.c // s), range(rows), range(columns))
    for slot, (f, group, row, column) in enumerate(places):
        block = weight[f, group * s : (group + 1) * s, row * t_h : (row + 1) * t_h, column * t_w : (column + 1) * t_w]
        assert torch.equal(block, filters[codes["indices"][slot]].float())
    assert slot + 1 == choice.slots(layer) == codes["indices"].numel()


@given(layer=st.from_type(LayerShape), data=st.data())
def test_to_slots_and_from_slots_are_inverse(layer, data):
    choice = draw_choice(data, layer)
    weight = torch.randn(layer.weight_shape)
    slots = to_slots(weight, choice.s, choice.tile)
    assert slots.shape == (choice.slots(layer), choice.dimension)
    assert torch.equal(from_slots(slots, layer.weight_shape, choice.s, choice.tile), weight)


@given(k=st.integers(1, 9), dimension=st.integers(1, 6), slots=st.integers(1, 12), seed=st.integers(0, 99))
def test_select_is_a_straight_through_one_hot_product(k, dimension, slots, seed):
    torch.manual_seed(seed)
    bank = torch.randn(k, dimension, dtype=torch.double, requires_grad=True)
    proxies = torch.randn(slots, k, dtype=torch.double, requires_grad=True)
    hot = F.one_hot(proxies.argmax(1), k) + proxies - proxies.detach()
    wanted, weights = hot @ bank, torch.randn(slots, dimension, dtype=torch.double)
    mine = Select.apply(bank, proxies)
    torch.testing.assert_close(mine, wanted)
    expected = torch.autograd.grad((wanted * weights).sum(), (bank, proxies))
    for a, b in zip(torch.autograd.grad((mine * weights).sum(), (bank, proxies)), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_sign_has_no_zero_and_clips_its_gradient():
    x = torch.tensor([-2.0, -1.0, -0.0, 0.0, 0.3, 1.0, 1.1], requires_grad=True)
    y = Sign.apply(x)
    assert y.tolist() == [-1, -1, 1, 1, 1, 1, 1]
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_one_hot_passes_its_gradient_through():
    proxies = torch.randn(4, 3, requires_grad=True)
    hot = OneHot.apply(proxies)
    assert torch.equal(hot, F.one_hot(proxies.argmax(1), 3).float())
    weights = torch.randn(4, 3)
    (hot * weights).sum().backward()
    assert torch.equal(proxies.grad, weights)


@pytest.mark.parametrize("choice", [Stacked(16, 4, (3, 3)), Stacked(5, 2, (1, 3)), Stacked(8, 8, (1, 1))], ids=str)
def test_start_from_lowers_the_error_of_a_random_start(choice):
    weight = torch.randn(SHAPE.weight_shape, generator=torch.Generator().manual_seed(0))
    basis = StackedBasis(choice, SHAPE, torch.Generator().manual_seed(1))
    before = error(basis(), weight)
    basis.start_from(weight)
    assert error(basis(), weight) < 0.85 * before


def test_start_from_finds_a_weight_that_a_bank_can_hold():
    choice = Stacked(4, 4, (3, 3))
    weight = StackedBasis(choice, SHAPE, torch.Generator().manual_seed(0))() * 0.3
    basis = StackedBasis(Stacked(16, 4, (3, 3)), SHAPE, torch.Generator().manual_seed(1))
    basis.start_from(weight.detach())
    assert torch.equal(basis() * 0.3, weight)


def error(fitted: torch.Tensor, weight: torch.Tensor) -> float:
    scale = (fitted * weight).sum() / fitted.square().sum()
    return (weight - scale * fitted).square().sum().item()


def test_start_from_a_weight_of_zeros_stays_finite():
    basis = StackedBasis(Stacked(4, 2, (3, 3)), SHAPE)
    basis.start_from(torch.zeros(SHAPE.weight_shape))
    assert all(torch.isfinite(parameter).all() for parameter in basis.parameters())


def test_lloyd_wastes_no_filter():
    slots = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    slots[:200] = slots[0]  # half of the starts are one and the same
    filters = sign(lloyd(slots, 16, torch.zeros(16, 8)))
    used = (slots @ filters.t()).argmax(1).unique()
    assert len(used) >= 14


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Stacked(4, 3, (3, 3)), ["s=3", "8 channels", "1, 2, 4, 8"]),
        (Stacked(4, 0, (3, 3)), ["s=0"]),
        (Stacked(4, 2, (0, 3)), ["tile=0x3"]),
        (Stacked(4, 2, (2, 3)), ["tile=2x3", "3x3", "[1, 3]"]),
        (Stacked(1, 8, (3, 3)), ["k=1", "2 to 16"]),
        (Stacked(17, 8, (3, 3)), ["k=17", "2 to 16"]),
        (Stacked(5, 2, (1, 1)), ["k=5", "2 to 4"]),
    ],
    ids=str,
)
def test_what_cannot_be_or_pay_is_one_line_with_what_can(choice, words):
    with pytest.raises(BankwiseError) as raised:
        choice.check(SHAPE)
    assert "\n" not in str(raised.value)
    for word in words:
        assert word in str(raised.value)


@given(out=st.integers(1, 9), stride=st.integers(1, 3), tile=st.integers(1, 4), q=st.integers(1, 4))
def test_map_length_closed_forms(out, stride, tile, q):
    kernel = tile * q
    assert map_length(out, stride, tile, tile, 1) == out  # one tile: a map a position
    if out >= tile:
        assert map_length(out, 1, tile, kernel, 1) == out + kernel - tile
    read = {o * stride + t * tile for o in range(out) for t in range(q)}
    assert map_length(out, stride, tile, kernel, 1) == len(read)
    # a dilated tile offset is a multiple of tile * dilation
    assert map_length(out, stride * 2, tile, kernel, 2) == len(read)


@given(
    out=st.integers(1, 12),
    stride=st.integers(1, 5),
    tile=st.integers(1, 4),
    parts=st.integers(1, 5),
    dilation=st.integers(1, 4),
)
def test_map_length_is_the_number_of_positions(out, stride, tile, parts, dilation):
    read = {o * stride + t * tile * dilation for o in range(out) for t in range(parts)}
    assert map_length(out, stride, tile, parts * tile, dilation) == len(read)


def test_sizes_of_any_image_take_no_time():
    assert map_length(10**9, 1, 1, 3, 1) == 10**9 + 2
    assert divisors(12) == [1, 2, 3, 4, 6, 12] and divisors(16) == [1, 2, 4, 8, 16] and divisors(1) == [1]
    assert divisors(10**9)[-2:] == [5 * 10**8, 10**9]
