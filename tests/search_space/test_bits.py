import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.bits import pack_codes, unpack_codes


@given(bits=st.integers(1, 32), data=st.data())
def test_codes_come_back_and_bytes_are_the_least(bits, data):
    shape = tuple(data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)))
    count = torch.Size(shape).numel()
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=count, max_size=count))
    codes = torch.tensor(values, dtype=torch.int64).reshape(shape)
    packed = pack_codes(codes, bits)
    assert len(packed) == (count * bits + 7) // 8
    assert torch.equal(unpack_codes(b"##" + packed + b"#", 2, shape, bits), codes)


@given(bits=st.integers(1, 32), values=st.lists(st.integers(0, 2**32 - 1), max_size=9))
def test_bits_lie_most_significant_first_without_gaps(bits, values):
    values = [value % 2**bits for value in values]
    text = "".join(f"{value:0{bits}b}" for value in values)
    text += "0" * (-len(text) % 8)
    wanted = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    assert pack_codes(torch.tensor(values, dtype=torch.int64), bits) == wanted


@pytest.mark.parametrize("bits", [1, 3, 7, 13])
def test_long_codes_are_packed_as_short_ones(bits):
    """In blocks, that is: the bytes are those of the whole text of bits."""
    codes = torch.randint(0, 2**bits, (2**18 + 77,), generator=torch.Generator().manual_seed(0))
    packed = pack_codes(codes, bits)
    text = "".join(f"{code:0{bits}b}" for code in codes.tolist())
    assert packed == int(text + "0" * (-len(text) % 8), 2).to_bytes(-(-len(text) // 8), "big")
    assert torch.equal(unpack_codes(packed, 0, codes.shape, bits), codes)


def test_codes_need_not_be_contiguous():
    codes = torch.arange(6).reshape(2, 3).t()
    assert pack_codes(codes, 4) == pack_codes(codes.contiguous(), 4)


@pytest.mark.parametrize(("code", "bits"), [(8, 3), (-1, 3), (256, 8), (-1, 16)])
def test_a_code_that_does_not_fit_is_never_cut(code, bits):
    with pytest.raises(ValueError, match=f"outside 0..{2**bits - 1}"):
        pack_codes(torch.tensor([0, code]), bits)
