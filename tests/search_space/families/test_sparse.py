"""The sparse basis against slow forms of the same thing, and against the stacked one at their common corner."""

import itertools
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bankwise.search_space.basis.combination import Chosen, Combine, Quantize
from bankwise.search_space.basis.l1_ball import L1Ball
from bankwise.search_space.basis.levels import bank_values, coefficient_values
from bankwise.search_space.bits import pack_codes
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Sparse, Stacked
from bankwise.search_space.families.bank import divisors
from bankwise.search_space.families.sparse import SparseBasis
from bankwise.search_space.layer import GeneratedLayer
from bankwise.search_space.shape import LayerShape

SHAPE = LayerShape("conv", "conv2d", 16, 8, (3, 3), padding=(1, 1), in_size=(8, 8), out_size=(8, 8))


def draw_choice(data, layer: LayerShape) -> Sparse:
    tile = tuple(data.draw(st.sampled_from(divisors(d))) for d in layer.kernel)
    s = data.draw(st.sampled_from(divisors(layer.c)))
    bits, a = data.draw(st.sampled_from([1, 2, 4])), data.draw(st.integers(0, 3))
    dimension = s * math.prod(tile)
    least, most = 1 if a else 2, min(2 ** (bits * dimension - (a > 0)), layer.weights // dimension, 20)
    assume(most >= least)
    k = data.draw(st.integers(least, most))
    choice = Sparse(k, s, tile, bits, data.draw(st.integers(1, min(3, k - (not a)))), a)
    choice.check(layer)
    return choice


def draw_input(layer: LayerShape) -> torch.Tensor:
    if layer.kind == "linear":
        return torch.randn(3, 2, layer.c)
    return torch.randn(2, layer.groups * layer.c, *layer.in_size)


@settings(max_examples=50)
@given(layer=st.from_type(LayerShape), data=st.data())
def test_both_ways_of_running_agree_forward_and_backward(layer, data):
    choice = draw_choice(data, layer)
    torch.manual_seed(0)
    module = GeneratedLayer(layer, choice).double()
    with torch.no_grad():
        module.basis.coefficients.mul_(3)  # most rows beyond the ball
    x = draw_input(layer).double().requires_grad_()
    wanted = module(x)
    loss_weights = torch.randn_like(wanted)
    inputs = [x, *module.parameters()]
    gradients = torch.autograd.grad((wanted * loss_weights).sum(), inputs)
    module.run = "merge"
    merged = module(x)
    torch.testing.assert_close(merged, wanted)
    names = ["x", *(name for name, _ in module.named_parameters())]
    assert {"basis.bank", "basis.coefficients"} <= set(names)
    for name, mine, other in zip(
        names, torch.autograd.grad((merged * loss_weights).sum(), inputs), gradients, strict=True
    ):
        torch.testing.assert_close(mine, other, msg=lambda text, name=name: f"{name}: {text}")


@settings(max_examples=50)
@given(layer=st.from_type(LayerShape), data=st.data())
def test_the_weight_is_the_sum_of_the_terms_of_each_slot(layer, data):
    """Every slot, found by its own loops, holds the combination that its indices and coefficients name."""
    choice = draw_choice(data, layer)
    basis = SparseBasis(choice, layer, torch.Generator().manual_seed(1))
    weight, codes = basis(), basis.codes()
    filters = bank_values(codes["bank"], choice.bits).reshape(choice.k, choice.s, *choice.tile)
    m, ones = choice.nonzeros, torch.zeros(choice.slots(layer), choice.nonzeros).long()
    indices = codes.get("indices", ones).reshape(-1, m)
    values = coefficient_values(codes["coefficients"].reshape(-1, m), choice.coefficient_bits).tolist() if (
        choice.coefficient_bits
    ) else [[1.0] * m] * len(indices)  # fmt: skip
    (t_h, t_w), s = choice.tile, choice.s
    rows, columns = layer.kernel[0] // t_h, layer.kernel[1] // t_w
    places = itertools.product(range(layer.n), range(layer.c // s), range(rows), range(columns))
    for slot, (f, group, row, column) in enumerate(places):
        block = weight[f, group * s : (group + 1) * s, row * t_h : (row + 1) * t_h, column * t_w : (column + 1) * t_w]
        wanted = sum(v * filters[i] for v, i in zip(values[slot], indices[slot], strict=True))
        torch.testing.assert_close(block, wanted)
        assert len(set(indices[slot].tolist())) == m
    assert slot + 1 == choice.slots(layer)


@given(layer=st.from_type(LayerShape), data=st.data())
def test_the_price_is_the_closed_form(layer, data):
    choice = draw_choice(data, layer)
    k, b, m, a = choice.k, choice.bits, choice.nonzeros, choice.coefficient_bits
    d_h, d_w = layer.kernel
    t_h, t_w = choice.tile
    slots = layer.n * (layer.c // choice.s) * (d_h // t_h) * (d_w // t_w)
    bits = b * k * choice.s * t_h * t_w + slots * m * (a + math.ceil(math.log2(k)))
    parts = choice.parts(layer)
    assert sum(part.total_bits for part in parts) == bits and all(part.paper for part in parts)
    assert choice.rate(layer) == pytest.approx(
        (math.log2(math.comb(k, m)) + m * a) / (choice.s * t_h * t_w)
    )  # the order of the terms is no information


def test_the_worked_example_of_the_docstring():
    layer = LayerShape("conv", "conv2d", 64, 64, (3, 3))
    parts = Sparse(16, 8, (3, 3), 2, 1, 1).parts(layer)
    assert [part.total_bits for part in parts] == [2304, 2048, 512]
    assert sum(part.total_bits for part in parts) / layer.weights == pytest.approx(0.132, abs=5e-4)


@given(layer=st.from_type(LayerShape), data=st.data())
def test_operations_by_closed_form(layer, data):
    """Those of the stacked layer with m terms a slot; levels beyond signs multiply."""
    choice = draw_choice(data, layer)
    one, cost = Stacked(choice.k, choice.s, choice.tile).operations(layer, "merge"), choice.operations(layer, "merge")
    merge = choice.slots(layer) * layer.positions
    transform = one.additions - merge
    assert cost.additions == transform + choice.nonzeros * merge
    wanted = (transform if choice.bits > 1 else 0) + (choice.nonzeros * merge if choice.coefficient_bits > 1 else 0)
    assert (cost.multiplications, cost.map_bytes) == (wanted, one.map_bytes)
    standard = choice.operations(layer, "materialized")
    assert standard.multiplications == standard.additions == layer.weights * layer.positions


@settings(max_examples=40)
@given(layer=st.from_type(LayerShape), k=st.integers(2, 12), data=st.data())
def test_stacked_is_its_corner(layer, k, data):
    """b = 1, one term, no coefficient: the same price, bytes of every part, weight, gradients and cost."""
    tile = tuple(data.draw(st.sampled_from(divisors(d))) for d in layer.kernel)
    s = data.draw(st.sampled_from(divisors(layer.c)))
    sparse, stacked = Sparse(k, s, tile, 1, 1, 0), Stacked(k, s, tile)
    assume(k <= min(2**stacked.dimension, stacked.slots(layer)))
    sparse.check(layer)
    assert sparse.parts(layer) == stacked.parts(layer)
    assert sparse.rate(layer) == stacked.rate(layer)
    for run in ("materialized", "merge"):
        assert sparse.operations(layer, run) == stacked.operations(layer, run)
    basis = stacked.basis(layer, torch.Generator().manual_seed(0))
    codes = basis.codes()
    assert torch.equal(sparse.weight(layer, codes), stacked.weight(layer, codes))
    assert torch.equal(sparse.weight(layer, codes), basis())
    twin = sparse.basis(layer)
    with torch.no_grad():
        twin.bank.copy_(basis.bank)
        twin.coefficients.copy_(basis.proxies)
    mine = twin.codes()
    for part in stacked.parts(layer):
        assert pack_codes(mine[part.name], part.bits) == pack_codes(codes[part.name], part.bits)
    weight, wanted = twin(), basis()
    assert torch.equal(weight, wanted)
    towards = torch.randn(layer.weight_shape, generator=torch.Generator().manual_seed(2))
    (weight * towards).sum().backward()
    (wanted * towards).sum().backward()
    torch.testing.assert_close(twin.bank.grad, basis.bank.grad)
    torch.testing.assert_close(twin.coefficients.grad * twin.unit, basis.proxies.grad)


def test_the_largest_coefficients_are_kept_and_rounded():
    choice = Sparse(4, 8, (3, 3), 1, 2, 3)
    basis = SparseBasis(choice, SHAPE)
    unit = basis.unit
    with torch.no_grad():
        basis.coefficients.zero_()
        basis.coefficients[:, 2], basis.coefficients[:, 0] = -0.9 * unit, 0.3 * unit
        basis.coefficients[:, 3] = 0.01 * unit  # inside the ball nothing is projected
    codes = basis.codes()
    assert codes["indices"].tolist() == [[2, 0]] * 16
    assert coefficient_values(codes["coefficients"], 3).tolist() == [[-1.0, 0.25]] * 16


def test_coefficients_beyond_the_ball_are_projected():
    choice = Sparse(4, 8, (3, 3), 1, 2, 3)
    basis = SparseBasis(choice, SHAPE)
    rows = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)) * 6
    with torch.no_grad():
        basis.coefficients.copy_(rows * basis.unit)
    projected = L1Ball.apply(basis.coefficients / basis.unit, basis.radius)
    assert (projected == 0).any() and projected.abs().sum(1).max() <= basis.radius * 1.0001
    codes = basis.codes()
    sizes, wanted = projected.abs().sort(1, descending=True)
    sure = sizes[:, 1] > 0  # two are left
    assert sure.any() and torch.equal(codes["indices"][sure], wanted[sure, :2])
    given_ = coefficient_values(codes["coefficients"], 3).abs()
    torch.testing.assert_close(given_, (sizes[:, :2] * 4).round().clamp(1, 4) / 4)
    assert torch.equal(codes["coefficients"] >= 4, rows.gather(1, codes["indices"]) >= 0)


@given(k=st.integers(1, 6), terms=st.integers(1, 3), seed=st.integers(0, 99), weighted=st.booleans())
def test_a_combination_passes_its_gradient_to_all_coefficients(k, terms, seed, weighted):
    """The gradient of the dense product with the few-bit coefficients, straight through to the real ones."""
    assume(terms <= k)
    torch.manual_seed(seed)
    bank = torch.randn(k, 5, dtype=torch.double, requires_grad=True)
    real = torch.randn(7, k, dtype=torch.double, requires_grad=True)
    indices = real.detach().abs().topk(terms).indices
    values = torch.randn(7, terms, dtype=torch.double) if weighted else None
    table = Chosen.apply(real, indices, values)
    wanted, weights = table @ bank, torch.randn(7, 5, dtype=torch.double)
    mine = Combine.apply(bank, real, indices, values)
    torch.testing.assert_close(mine, wanted)
    assert ((table != 0).sum(1) == terms).all()
    expected = torch.autograd.grad((wanted * weights).sum(), (bank, real))
    for a, b in zip(torch.autograd.grad((mine * weights).sum(), (bank, real)), expected, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(expected[1], weights @ bank.detach().t())


def test_bank_levels_pass_their_gradient_within_the_range():
    x = torch.tensor([-2.0, -1.0, -0.2, 0.0, 0.9, 1.0, 1.1], requires_grad=True)
    y = Quantize.apply(x, 2)
    assert y.tolist() == pytest.approx([-1, -1, -1 / 3, 1 / 3, 1, 1, 1])
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


def error(fitted: torch.Tensor, weight: torch.Tensor) -> float:
    scale = (fitted * weight).sum((1, 2, 3), keepdim=True) / fitted.square().sum((1, 2, 3), keepdim=True)
    return (weight - scale * fitted).square().sum().item()


@pytest.mark.parametrize("terms", [1, 2, 3])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_more_bits_and_terms_fit_better(bits, terms):
    layer = LayerShape("conv", "conv2d", 64, 16, (3, 3))
    weight = torch.randn(layer.weight_shape, generator=torch.Generator().manual_seed(0))

    def left(bits: int, terms: int, a: int) -> float:
        basis = Sparse(16, 2, (3, 3), bits, terms, a).basis(layer, torch.Generator().manual_seed(1))
        basis.start_from(weight)
        return error(basis().detach(), weight)

    mine = left(bits, terms, 1)
    if bits > 1:
        assert mine < 1.01 * left(bits // 2, terms, 1)
    if terms > 1:
        assert mine < 0.9 * left(bits, terms - 1, 1)
    assert left(bits, terms, 3) < mine


def test_start_from_finds_a_weight_that_a_bank_can_hold():
    choice = Sparse(4, 4, (3, 3), 1, 1, 1)
    weight = choice.basis(SHAPE, torch.Generator().manual_seed(0))() * 0.3
    basis = Sparse(16, 4, (3, 3), 1, 1, 1).basis(SHAPE, torch.Generator().manual_seed(1))
    basis.start_from(weight.detach())
    assert torch.equal(basis() * 0.3, weight)


@pytest.mark.parametrize("choice", [Sparse(8, 2, (3, 3), 2, 2, 2), Sparse(4, 1, (3, 3), 1, 1, 1)], ids=str)
def test_a_fitted_start_lies_within_the_ball(choice):
    """So the projection does not disturb it, and every coefficient has a gradient."""
    basis = choice.basis(SHAPE, torch.Generator().manual_seed(0))
    basis.start_from(torch.randn(SHAPE.weight_shape, generator=torch.Generator().manual_seed(0)))
    real = basis.coefficients.detach() / basis.unit
    assert real.abs().sum(1).max() <= basis.radius
    basis().sum().backward()
    assert (basis.coefficients.grad != 0).any(1).all()


ALIKE = torch.eye(16)[:, :8, None, None].expand(16, 8, 3, 3)  # some filters, and most channels, are zero


@pytest.mark.parametrize("weight", [torch.zeros(SHAPE.weight_shape), ALIKE], ids=["zeros", "alike"])
def test_start_from_zeros_stays_finite(weight):
    for choice in (Sparse(4, 2, (3, 3), 2, 2, 2), Sparse(1, 8, (3, 3), 1, 1, 1), Sparse(4, 2, (3, 3), 1, 1, 0)):
        basis = choice.basis(SHAPE)
        basis.start_from(weight)
        assert all(torch.isfinite(parameter).all() for parameter in basis.parameters())
        assert torch.isfinite(basis()).all()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Sparse(4, 3, (3, 3), 1, 1, 1), ["s=3", "8 channels", "1, 2, 4, 8"]),
        (Sparse(4, 2, (2, 3), 1, 1, 1), ["tile=2x3", "3x3"]),
        (Sparse(4, 2, (3, 3), 3, 1, 1), ["bits=3", "1, 2, 4"]),
        (Sparse(4, 2, (3, 3), 1, 1, 9), ["coefficient_bits=9", "0 (no coefficient) to 8"]),
        (Sparse(4, 2, (3, 3), 1, 1, -1), ["coefficient_bits=-1"]),
        (Sparse(4, 2, (3, 3), 1, 5, 1), ["nonzeros=5", "1 to 4 of 4 filters"]),
        (Sparse(4, 2, (3, 3), 1, 4, 0), ["nonzeros=4", "1 to 3 of 4 filters"]),
        (Sparse(4, 2, (3, 3), 1, 0, 1), ["nonzeros=0"]),
        (Sparse(12, 2, (3, 3), 1, 9, 1), ["nonzeros=9", "1 to 8 of 12"]),
        (Sparse(1, 8, (3, 3), 1, 1, 0), ["k=1", "2 to 16"]),
        (Sparse(0, 8, (3, 3), 1, 1, 1), ["k=0", "1 to 16"]),
        (Sparse(17, 8, (3, 3), 4, 1, 1), ["k=17", "1 to 16"]),
        (Sparse(3, 2, (1, 1), 1, 1, 1), ["k=3", "1 to 2", "2^1 distinct"]),
        (Sparse(5, 2, (1, 1), 1, 1, 0), ["k=5", "2 to 4"]),
    ],
    ids=str,
)
def test_what_cannot_be_or_pay_is_one_line_with_what_can(choice, words):
    with pytest.raises(BankwiseError) as raised:
        choice.check(SHAPE)
    assert "\n" not in str(raised.value)
    for word in words:
        assert word in str(raised.value)
