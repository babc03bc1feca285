import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.bits import pack_codes, unpack_codes
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.vector import (
    VECTOR_BITS,
    VECTORS,
    Ieee,
    Powers,
    Shared,
    Steps,
    Storage,
    float_codes,
    float_values,
)

vectors = st.lists(st.floats(-6e4, 6e4, width=32), min_size=1, max_size=20).map(torch.tensor)
STORAGES = (Ieee(16), Ieee(32), Steps(4), Steps(8), Powers(), Shared())


def through_bytes(values: torch.Tensor, storage: Storage) -> torch.Tensor:
    codes = storage.codes("v", values)
    read = {}
    for part in storage.parts("v", len(values)):
        assert codes[part.name].shape == part.shape
        read[part.name] = unpack_codes(pack_codes(codes[part.name], part.bits), 0, part.shape, part.bits)
    assert read.keys() == codes.keys()
    found = storage.values("v", read, len(values))
    assert torch.equal(found, storage.rounded(values)) and found.shape == values.shape
    return found


@given(values=vectors)
def test_ieee_vectors_are_exact_to_their_format(values):
    assert torch.equal(through_bytes(values, Ieee(32)), values)
    assert torch.equal(through_bytes(values, Ieee(16)), values.half().float())


@pytest.mark.parametrize("bits", [4, 8])
@given(values=vectors)
def test_steps_lead_from_least_to_largest(bits, values):
    low, high = values.min().item(), values.max().item()
    bound = abs(float(np.float16(low)) - low) + abs(float(np.float16(high)) - high)  # the range itself is rounded
    step = (high - low) / (2**bits - 1)
    found = through_bytes(values, Steps(bits))
    assert (found - values).abs().max().item() <= bound + 0.51 * step + 1e-6 * max(abs(low), abs(high))
    assert len(found.unique()) <= 2**bits


@given(values=vectors)
def test_powers_of_two_lie_within_half_an_octave_of_what_they_stand_for(values):
    found, top = through_bytes(values, Powers()), float(values.abs().max().half())
    for value, got in zip(values.tolist(), found.tolist(), strict=True):
        if top == 0:
            assert got == 0
            continue
        assert math.log2(top / abs(got)) in range(8)
        if abs(value) >= top * 2**-7.4:
            assert math.copysign(1, value) == math.copysign(1, got)
            assert abs(math.log2(value / got)) <= 0.5 + 1e-2


@given(values=vectors)
def test_one_number_for_all_channels_is_their_mean(values):
    found = through_bytes(values, Shared())
    assert len(found.unique()) == 1
    mean = values.double().mean().item()
    assert found[0].item() == pytest.approx(mean, rel=2e-3, abs=1e-6 * values.abs().max().item() + 1e-7)


@pytest.mark.parametrize("storage", STORAGES, ids=str)
@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 3.25])
def test_a_constant_vector_stays_constant(value, storage):
    assert torch.equal(through_bytes(torch.full((5,), value), storage), torch.full((5,), value))


def test_a_grid_of_as_many_steps_is_exact():
    for bits in (4, 8):
        values = torch.arange(2**bits) / 64 - 2
        assert torch.allclose(through_bytes(values, Steps(bits)), values, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "scale", "shift"),
    [
        ("v32", 320, 320), ("v16", 160, 160), ("v8", 112, 112), ("v4", 72, 72), ("s8", 16, 112), ("s4", 16, 72),
        ("p8", 56, 112), ("p4", 56, 72),
    ],
)  # fmt: skip
def test_sizes_in_bits(name, scale, shift):
    """10 channels."""
    one = VECTORS[name]
    assert sum(part.total_bits for part in one.scale.parts("a", 10)) == scale
    assert sum(part.total_bits for part in one.shift.parts("a", 10)) == shift
    assert set(VECTORS) >= {f"v{bits}" for bits in VECTOR_BITS} and VECTORS[name].name == name


@pytest.mark.parametrize("channels", [8, 16, 64])
def test_what_is_lost_is_about_the_closed_form(channels):
    """Of Gaussian channels: the form is for a step, or an octave, that no range cuts."""
    generator = torch.Generator().manual_seed(channels)
    for spread in (0.1, 0.2):
        for storage in (Steps(4), Steps(8), Powers(), Shared()):
            lost = total = 0.0
            for _ in range(400):
                values = 1 + spread * torch.randn(channels, generator=generator)
                lost += (storage.rounded(values) - values).square().sum().item()
                total += values.square().sum().item()
            if isinstance(storage, Powers):  # it is for octaves that are evenly filled, not for one
                assert lost / total < 3 * storage.loss(channels, spread)
            else:
                assert 1 / 3 < lost / total / storage.loss(channels, spread) < 3 or lost / total < 1e-6
    assert Ieee(16).loss(channels, 0.2) == 0 and VECTORS["v16"].kept(channels) == 1
    assert 0.9 < VECTORS["s4"].kept(channels) < VECTORS["v4"].kept(channels) < VECTORS["v8"].kept(channels) < 1


@pytest.mark.parametrize("storage", STORAGES, ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_an_error(value, storage):
    with pytest.raises(BankwiseError, match="not finite"):
        storage.codes("v", torch.tensor([1.0, value]))


@pytest.mark.parametrize("storage", [one for one in STORAGES if one != Ieee(32)], ids=str)
def test_what_half_precision_cannot_hold_is_an_error_not_infinity(storage):
    with pytest.raises(BankwiseError, match="not finite in 16-bit"):
        storage.codes("v", torch.tensor([1e5, 2e5]))


def test_codes_are_the_bit_patterns():
    assert float_codes(torch.tensor([1.0, -2.0]), 16).tolist() == [0x3C00, 0xC000]
    assert float_codes(torch.tensor([1.0, -2.0]), 32).tolist() == [0x3F800000, 0xC0000000]
    assert float_values(torch.tensor([0x3C00, 0xC000]), 16).tolist() == [1.0, -2.0]
    assert Powers().codes("v", torch.tensor([4.0, -1.0, 0.03]))["v"].tolist() == [0, 8 + 2, 7]
