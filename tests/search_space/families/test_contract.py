"""What every family keeps: one contract, any layer."""

import math
import os
import re

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bankwise.search_space.bits import pack_codes, unpack_codes
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import (
    FAMILIES,
    Choice,
    Composite,
    Float,
    Integer,
    Sparse,
    Stacked,
    Subbit,
    Tiled,
    choice_from_code,
    choice_from_dict,
    import_family,
)
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape

TESTED = (*FAMILIES, *map(import_family, os.environ.get("BANKWISE_FAMILY", "").split()))
# Beside what a space offers: choices that a plan may name.
UNUSUAL = [
    Stacked(3, 2, (1, 1)), Stacked(6, 2, (1, 3)), Sparse(4, 1, (3, 3), 1, 1, 0), Sparse(5, 2, (1, 3), 2, 1, 1),
    Sparse(8, 4, (3, 1), 4, 1, 3), Sparse(6, 1, (3, 3), 2, 3, 1), Sparse(4, 2, (1, 1), 4, 2, 0), Composite(2, (1,)),
    Composite(3, (4, 0, 1)), Tiled(18), Subbit(6),
]  # fmt: skip
SPARSE = {"family": "sparse", "k": 4, "s": 1, "tile": "3x3", "bits": 1, "nonzeros": 1, "coefficient_bits": 0}
SHAPE = LayerShape("conv", "conv2d", 16, 8, (3, 3), padding=(1, 1), in_size=(8, 8), out_size=(8, 8))
SETTINGS = SpaceSettings(max_k=16)


def offered(family: type[Choice], layer: LayerShape) -> list[Choice]:
    return [choice for kind in family.kinds for choice in family.offered(layer, kind, SETTINGS)]


def examples(family: type[Choice]) -> list[Choice]:
    """Of each family up to seven choices of those that it offers one layer, and the unusual ones."""
    row = offered(family, SHAPE)
    spread = [row[i * (len(row) - 1) // 6] for i in range(7)] if len(row) > 7 else row
    return list(dict.fromkeys([*spread, *(choice for choice in UNUSUAL if type(choice) is family)]))


every_family = pytest.mark.parametrize("family", TESTED, ids=lambda family: family.family)
each = pytest.mark.parametrize("choice", [choice for family in TESTED for choice in examples(family)], ids=str)


@every_family
@settings(max_examples=40)
@given(layer=st.from_type(LayerShape), data=st.data())
def test_what_is_offered_can_be_and_is_distinct(family, layer, data):
    choices = offered(family, layer)
    assert len(choices) == len(set(choices)) and all(type(choice) is family for choice in choices)
    for choice in choices:
        choice.check(layer)
        assert 0 < choice.capture(layer) <= 1 and choice.rate(layer) > 0
        parts, (k, s) = choice.kernel_parts(layer), choice.bank_size
        assert (parts is None or 1 <= parts <= math.prod(layer.kernel)) and k >= 1 and layer.c % s == 0


@every_family
def test_of_a_family_names_are_its_own(family):
    assert re.fullmatch("[A-Z]", family.letter) and family.summary and "\n" not in family.summary
    assert re.fullmatch("[a-z][a-z0-9_-]*", family.family) and len(set(family.kinds)) == len(family.kinds) >= 1
    assert all(offered(family, SHAPE)), "the layer that the tests take has a choice"


@every_family
@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])  # sub-bit layers are 3x3 alone
@given(layer=st.from_type(LayerShape), data=st.data())
def test_codes_fill_the_parts_and_give_the_weight_back_exactly(family, layer, data):
    fitting = [choice for choice in (*examples(family), *offered(family, layer)) if possible(choice, layer)]
    assume(fitting)
    choice = data.draw(st.sampled_from(fitting))
    basis = choice.basis(layer, torch.Generator().manual_seed(0))
    codes, parts = basis.codes(), choice.parts(layer)
    assert list(codes) == [part.name for part in parts]
    assert not {"scale", "scale.range", "bias", "bias.range"} & set(codes), "the layer's own parts are called so"
    stored = {}
    for part in parts:
        assert codes[part.name].shape == part.shape and codes[part.name].dtype == torch.int64
        data = pack_codes(codes[part.name], part.bits)
        assert len(data) == part.file_bytes
        stored[part.name] = unpack_codes(data, 0, part.shape, part.bits)
    choice.check_codes(stored)
    weight = basis().detach()
    assert weight.shape == layer.weight_shape
    if choice == Float(16):
        weight = weight.half().float()
    assert torch.equal(choice.weight(layer, stored), weight)


def possible(choice: Choice, layer: LayerShape) -> bool:
    try:
        choice.check(layer)
    except BankwiseError:
        return False
    return True


@each
def test_written_and_read_again(choice):
    assert choice_from_code(choice.code()) == choice
    assert choice_from_dict(choice.to_dict()) == choice
    assert choice.code().isascii() and " " not in choice.code()


@each
def test_same_seed_same_start(choice):
    first, second, other = (choice.basis(SHAPE, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first(), second())
    assert not torch.equal(first(), other())


@each
def test_every_parameter_gets_a_gradient(choice):
    basis = choice.basis(SHAPE, torch.Generator().manual_seed(0))
    (basis() * torch.randn(SHAPE.weight_shape)).sum().backward()
    for parameter in basis.parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0


@each
def test_a_step_against_the_gradient_lowers_the_distance(choice):
    """Straight-through training works: it pulls the weight to a target that the choice can hold."""
    target = choice.basis(SHAPE, torch.Generator().manual_seed(1))().detach()
    basis = choice.basis(SHAPE, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(basis.parameters(), 0.01)
    distances = []
    for _ in range(40):
        distance = (basis() - target).square().mean()
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        distances.append(distance.item())
    assert distances[-1] < 0.9 * distances[0]


@each
def test_start_from_a_trained_weight_beats_a_random_start(choice):
    weight = torch.randn(SHAPE.weight_shape, generator=torch.Generator().manual_seed(5))
    basis = choice.basis(SHAPE, torch.Generator().manual_seed(0))
    before = error(basis(), weight)
    basis.start_from(weight)
    assert error(basis(), weight) < before


def error(fitted: torch.Tensor, weight: torch.Tensor) -> float:
    """Squared error after the best scale of each filter, which the layer or the batch norm behind it holds."""
    scale = (fitted * weight).sum((1, 2, 3), keepdim=True) / fitted.square().sum((1, 2, 3), keepdim=True)
    return (weight - scale * fitted).square().sum().item()


@each
def test_operations_are_numbers_of_the_shape(choice):
    for run in ("materialized", "merge"):
        cost = choice.operations(SHAPE, run)
        assert all(isinstance(value, int) and value >= 0 for value in (cost.multiplications, cost.additions))
    assert choice.operations(SHAPE, "materialized").multiplications == SHAPE.weights * 64


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (None, ["None", "family"]),
        ([], ["family"]),
        ({"k": 3}, ["family"]),
        ({"family": "stackd"}, ["'stackd'", "did you mean stacked"]),
        ({"family": ["stacked"]}, ["stacked"]),
        ({"family": "stacked", "k": 4, "s": 2}, ["tile"]),
        ({"family": "sparse", "k": 4, "s": 2, "tile": "3x3"}, ["bits", "coefficient_bits", "nonzeros"]),
        ({"family": "binary", "k": 4}, ["'k'"]),
        ({"family": "binary", 3: 4, "k": 1}, ["'3'", "'k'"]),
        ({"family": "stacked", "k": "4", "s": 2, "tile": "3x3"}, ["k: '4'", "whole number"]),
        ({"family": "stacked", "k": True, "s": 2, "tile": "3x3"}, ["k: True"]),
        ({"family": "stacked", "k": 4, "s": 0, "tile": "3x3"}, ["s: 0"]),
        ({"family": "stacked", "k": 4, "s": 1.5, "tile": "3x3"}, ["s: 1.5"]),
        ({"family": "stacked", "k": 4, "s": 1, "tile": "3"}, ["tile: '3'", "3x3"]),
        ({"family": "stacked", "k": 4, "s": 1, "tile": [3, 3]}, ["tile: [3, 3]"]),
        (SPARSE | {"bits": 0}, ["bits: 0", "positive whole number"]),
        (SPARSE | {"nonzeros": "2"}, ["nonzeros: '2'"]),
        (SPARSE | {"coefficient_bits": -1}, ["coefficient_bits: -1", "at least 0"]),
        (SPARSE | {"coefficient_bits": False}, ["coefficient_bits: False"]),
        ({"family": "composite", "raw": 3}, ["ranks"]),
        ({"family": "composite", "raw": 3, "ranks": 4}, ["ranks=4", "list"]),
        ({"family": "composite", "raw": 3, "ranks": [4, -1]}, ["ranks=[4, -1]", "whole number"]),
        ({"family": "composite", "raw": True, "ranks": []}, ["raw=True"]),
        ({"family": "tiled", "p": 0}, ["p: 0", "positive whole number"]),
        ({"family": "tiled", "k": 4}, ["'k'", "'p'"]),
        ({"family": "subbit", "tau": 2.5}, ["tau: 2.5", "whole number"]),
    ],
    ids=str,
)
def test_what_is_no_choice_is_one_line(values, words):
    with pytest.raises(BankwiseError) as raised:
        choice_from_dict(values)
    assert "\n" not in str(raised.value)
    for word in words:
        assert word in str(raised.value)


@given(
    st.one_of(
        st.text(max_size=12), st.text("".join(family.letter for family in FAMILIES) + "0123456789.x:/", max_size=12)
    )
)
def test_any_text_is_a_choice_code_or_an_error(text):
    try:
        choice = choice_from_code(text)
    except BankwiseError:
        return
    possible(choice, SHAPE)  # never another exception


@pytest.mark.parametrize("choice", [Integer(1), Integer(9), Float(8), Float(64)], ids=str)
def test_bits_outside_the_family_are_an_error(choice):
    with pytest.raises(BankwiseError, match=f"bits={choice.bits} .*allowed"):
        choice.check(SHAPE)


def test_an_index_beyond_the_bank_is_damage():
    codes = {"bank": torch.zeros(3, 9).long(), "indices": torch.tensor([0, 3])}
    with pytest.raises(BankwiseError, match="damaged: index 3 of a bank of 3"):
        Stacked(3, 1, (3, 3)).check_codes(codes)


def test_an_index_beyond_a_sparse_bank_is_damage():
    choice = Sparse(3, 1, (3, 3), 1, 2, 1)
    codes = {"bank": torch.zeros(3, 9).long(), "indices": torch.tensor([[0, 3]]), "coefficients": torch.zeros(1, 2)}
    with pytest.raises(BankwiseError, match="damaged: index 3 of a bank of 3"):
        choice.check_codes(codes)
