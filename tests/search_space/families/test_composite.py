"""Composite planes: bits to the formula, conversion of weights without training, capped ranks."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from bankwise.search_space.basis.decomposition import Magnitudes
from bankwise.search_space.basis.gf2 import rank
from bankwise.search_space.basis.planes import capped, filter_scales, magnitudes
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Composite, Integer
from bankwise.search_space.families.composite import Decomposer, matrix_shape, product
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape

SHAPE = LayerShape("conv", "conv2d", 64, 64, (3, 3), padding=(1, 1), in_size=(8, 8), out_size=(8, 8))


def heavy(shape: LayerShape, seed: int = 0) -> torch.Tensor:
    """Normal weights, a few of which are much larger."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape.weight_shape, generator=generator)
    return torch.where(torch.rand(shape.weight_shape, generator=generator) < 0.0015, 20 * weight.sign(), weight)


def bits(choice: Composite, shape: LayerShape) -> int:
    return sum(part.total_bits for part in choice.parts(shape))


def test_the_worked_example_of_the_docstring():
    choice = Composite(3, (40, 6))
    assert matrix_shape(SHAPE) == (192, 192)
    assert bits(choice, SHAPE) == 36_864 * 4 + 46 * 384 == 165_120
    assert round(choice.rate(SHAPE), 2) == 4.48
    assert bits(Composite(5, ()), SHAPE) == 221_184


@given(layer=st.from_type(LayerShape), raw=st.integers(0, 6), ranks=st.lists(st.integers(0, 4), max_size=3))
def test_bits_are_those_of_the_papers_formula(layer, raw, ranks):
    choice, (height, width) = Composite(raw, tuple(ranks)), matrix_shape(layer)
    assert height * width == layer.weights
    assert bits(choice, layer) == height * width * (raw + 1) + sum(rank * (height + width) for rank in ranks)
    assert choice.rate(layer) * layer.weights == pytest.approx(bits(choice, layer))
    assert all(part.paper for part in choice.parts(layer))


@given(
    layer=st.from_type(LayerShape), planes=st.integers(1, 6), bottleneck=st.sampled_from([0.0, 0.25, 0.5]),
    seed=st.integers(0, 9), per_filter=st.booleans(),
)  # fmt: skip
def test_a_trained_weight_is_resolved_to_a_choice_whose_codes_hold_it(layer, planes, bottleneck, seed, per_filter):
    weight = heavy(layer, seed)
    decomposer = Decomposer(weight, per_filter)
    choice, step = decomposer.resolve(planes, bottleneck)
    choice.check(layer)
    codes = decomposer.codes(choice, step)
    assert {name: code.shape for name, code in codes.items()} == {p.name: p.shape for p in choice.parts(layer)}
    weight_of_codes = choice.weight(layer, codes)
    assert torch.equal(weight_of_codes.abs(), decomposer.sizes(choice, step, torch.arange(layer.n)))
    # `weight` below is the level over the largest one; in units of the filter's scale no weight is further off than D
    unit = filter_scales(weight, bool(choice.ranks)) if per_filter else 1.0
    assert ((weight / unit - weight_of_codes * choice.largest * step).abs() <= step / 2 * (1 + 1e-4)).all()


def test_factors_are_of_the_ranks_of_the_planes():
    weight = heavy(SHAPE)
    decomposer = Decomposer(weight)
    choice, step = decomposer.resolve(5, 0.2)
    assert choice.ranks and bits(choice, SHAPE) < 6 * SHAPE.weights
    level = decomposer.sizes(choice, step, torch.arange(64)) * choice.largest
    planes = (level.round().long() >> choice.raw).reshape(192, 192)
    assert [rank(((planes >> i) & 1).bool().numpy()) for i in range(len(choice.ranks))] == list(choice.ranks)
    assert sum(choice.ranks) and max(choice.ranks) <= 0.4 * 192


def test_without_data_dependent_parts_it_is_the_plain_quantizer():
    """The paper's fallback, h w (J + 1) bits: as many levels as int(J + 1), and at least as near."""
    weight = torch.randn(SHAPE.weight_shape)
    for planes in (2, 4, 6):
        choice, basis = Composite(planes, ()), Integer(planes + 1).basis(SHAPE)
        assert bits(choice, SHAPE) == sum(part.total_bits for part in Integer(planes + 1).parts(SHAPE))
        mine = choice.basis(SHAPE)
        for one in (basis, mine):
            one.start_from(weight)
        assert error(mine(), weight) <= error(basis(), weight)


def error(fitted: torch.Tensor, weight: torch.Tensor) -> float:
    scale = (fitted * weight).sum((1, 2, 3), keepdim=True) / fitted.square().sum((1, 2, 3), keepdim=True)
    return (weight - scale * fitted).square().sum().item()


def test_factorized_planes_pay_where_few_weights_are_large():
    """At fewer bits than the plain quantizer it is twice as near to a weight with outliers."""
    weight = heavy(SHAPE)
    decomposer = Decomposer(weight)
    choice, step = decomposer.resolve(6, 0.3)
    fitted = choice.weight(SHAPE, decomposer.codes(choice, step))
    plain = Composite(4, ()).basis(SHAPE)
    plain.start_from(weight)
    assert choice.ranks and bits(choice, SHAPE) < bits(Composite(4, ()), SHAPE)
    assert error(fitted, weight) < error(plain(), weight) / 2


def test_start_from_finds_the_step_of_the_conversion_or_a_finer_one():
    weight = heavy(SHAPE)
    choice, step = Decomposer(weight).resolve(4, 0.1)
    basis = choice.basis(SHAPE)
    before = float(basis.step)
    basis.start_from(weight)
    assert float(basis.step) <= step * 1.01 and float(basis.step) != before


@given(
    layer=st.from_type(LayerShape),
    choice=st.sampled_from([Composite(2, (1,)), Composite(1, (2, 1)), Composite(3, (0, 2))]),
)
def test_trained_away_from_its_step_it_still_keeps_its_ranks(layer, choice):
    try:
        choice.check(layer)
    except BankwiseError:
        assume(False)
    basis = choice.basis(layer, torch.Generator().manual_seed(0))
    with torch.no_grad():
        basis.step.mul_(0.4)  # as if the weights had grown: many more are large
    codes = basis.codes()
    assert torch.equal(choice.weight(layer, codes), basis().detach())
    for i, most in enumerate(choice.ranks):
        if most:
            assert codes[f"left{i}"].shape[1] == most == codes[f"right{i}"].shape[0]


def test_capped_rows_fall_to_the_level_below_their_plane():
    level = torch.tensor([[8, 4, 3], [8, 4, 0], [1, 9, 15]]).float()
    # plane 3 has the rows 100, 100, 011: of rank 2, and the fullest, the last, comes first. The others fall to 7, and
    # then plane 2 has 110, 110, 001 where the first row is kept.
    cut = capped(level, 2, (1, 1))
    assert cut.tolist() == [[7, 4, 3], [7, 4, 0], [1, 9, 11]]
    assert torch.equal(capped(cut, 2, (1, 1)), cut)


def test_a_mixture_rounds_to_the_levels_at_the_weights_own_size():
    weight = torch.randn(SHAPE.weight_shape, generator=torch.Generator().manual_seed(0))
    for choice in (Composite(3, ()), Composite(3, (24,))):
        fitted = choice.rounded(weight)
        assert (weight - fitted).square().sum() < 0.05 * weight.square().sum()
        one = Magnitudes(magnitudes(fitted, filter_scales(weight, bool(choice.ranks))))
        step = Magnitudes(magnitudes(weight, filter_scales(weight, bool(choice.ranks)))).counted_step(
            choice.raw, choice.ranks
        )
        assert all(a <= b for a, b in zip(one.plane_ranks(step, choice.raw), choice.ranks, strict=False))


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Composite(0, ()), "0 ranks: allowed are 1 to 12 planes"),
        (Composite(12, (1,)), "raw=12 and 1 ranks"),
        (Composite(2, (193,)), "rank 193 .*allowed are 0 to 192"),
        (Composite(2, (96,)), r"ranks \[96\] cannot pay for a layer of 192x192: raw=3"),
    ],
)
def test_what_cannot_be_or_cannot_pay(choice, words):
    with pytest.raises(BankwiseError, match=words):
        choice.check(SHAPE)


@given(st.from_type(LayerShape))
def test_choices_before_training_are_possible_and_distinct(layer):
    choices = Composite.offered(layer, "composite", SpaceSettings())
    assert len(set(choices)) == len(choices) >= 6
    for choice in choices:
        choice.check(layer)


def test_a_device_adds_for_every_plane_and_multiplies_nothing():
    cost = Composite(3, (40, 6)).operations(SHAPE, "merge")
    assert (cost.multiplications, cost.additions, cost.map_bytes) == (0, 5 * SHAPE.weights * 64, 0)


def test_a_weight_of_zeros_stays_one():
    decomposer = Decomposer(torch.zeros(SHAPE.weight_shape))
    choice, step = decomposer.resolve(4, 0.3)
    assert choice == Composite(4, ()) and math.isfinite(step)
    assert not choice.weight(SHAPE, decomposer.codes(choice, step)).any()


def test_a_traced_product_is_that_of_every_value():
    generator = torch.Generator().manual_seed(0)
    traced = torch.jit.trace(product, (torch.zeros(6, 2).long(), torch.zeros(2, 5).long()))
    for share in (0.1, 0.5, 0.9):
        left, right = ((torch.rand(*size, generator=generator) < share).long() for size in ((6, 2), (2, 5)))
        wanted = (left @ right % 2).float()
        assert torch.equal(product(left, right), wanted) and torch.equal(traced(left, right), wanted)
