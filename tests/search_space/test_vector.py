import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_space.bits import pack_codes, unpack_codes
from search_space.errors import BankwiseError
from search_space.vector import VECTOR_BITS, float_codes, float_values, vector_codes, vector_parts, vector_values

vectors = st.lists(st.floats(-6e4, 6e4, width=32), min_size=1, max_size=20).map(torch.tensor)


def through_bytes(values: torch.Tensor, bits: int) -> torch.Tensor:
    codes = vector_codes("v", values, bits)
    read = {}
    for part in vector_parts("v", tuple(values.shape), bits):
        assert codes[part.name].shape == part.shape
        read[part.name] = unpack_codes(pack_codes(codes[part.name], part.bits), 0, part.shape, part.bits)
    assert read.keys() == codes.keys()
    return vector_values("v", read, bits)


@given(values=vectors)
def test_ieee_vectors_are_exact_to_their_format(values):
    assert torch.equal(through_bytes(values, 32), values)
    assert torch.equal(through_bytes(values, 16), values.half().float())


@given(values=vectors)
def test_eight_bits_are_256_steps_from_least_to_largest(values):
    low, high = values.min().item(), values.max().item()
    bound = abs(float(np.float16(low)) - low) + abs(float(np.float16(high)) - high)  # the range itself is rounded
    step = (high - low) / 255
    error = (through_bytes(values, 8) - values).abs().max().item()
    assert error <= bound + 0.51 * step + 1e-6 * max(abs(low), abs(high))


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 3.25])
def test_a_constant_vector_stays_constant(value):
    assert torch.equal(through_bytes(torch.full((5,), value), 8), torch.full((5,), value))


def test_a_grid_of_256_steps_is_exact():
    values = torch.arange(256) / 64 - 2
    assert torch.allclose(through_bytes(values, 8), values, atol=1e-6)


def test_sizes_in_bits():
    sizes = {bits: sum(part.total_bits for part in vector_parts("v", (10,), bits)) for bits in VECTOR_BITS}
    assert sizes == {8: 10 * 8 + 2 * 16, 16: 160, 32: 320}


@pytest.mark.parametrize("bits", VECTOR_BITS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_an_error(value, bits):
    with pytest.raises(BankwiseError, match="not finite"):
        vector_codes("v", torch.tensor([1.0, value]), bits)


@pytest.mark.parametrize("bits", [8, 16])
def test_what_half_precision_cannot_hold_is_an_error_not_infinity(bits):
    with pytest.raises(BankwiseError, match="not finite in 16-bit.*100000"):
        vector_codes("v", torch.tensor([1.0, 1e5]), bits)


def test_codes_are_the_bit_patterns():
    assert float_codes(torch.tensor([1.0, -2.0]), 16).tolist() == [0x3C00, 0xC000]
    assert float_codes(torch.tensor([1.0, -2.0]), 32).tolist() == [0x3F800000, 0xC0000000]
    assert float_values(torch.tensor([0x3C00, 0xC000]), 16).tolist() == [1.0, -2.0]
