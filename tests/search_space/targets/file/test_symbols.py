"""Codes of choices in bytes: back again, and as the small writer of `fuzz.crafting` has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.families import KINDS
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.space import layer_choices
from bankwise.search_space.targets.file.symbols import Damaged, Reader, code_bytes, number_bytes
from bankwise.search_space.vector import VECTORS
from fuzz import crafting

LAYERS = (
    LayerShape("a", "conv2d", 16, 8, (3, 3)),
    LayerShape("b", "linear", 10, 64),
    LayerShape("c", "conv2d", 8, 6, (5, 13)),
)
CODES = sorted(
    {
        choice.code()
        for layer in LAYERS
        for choice in layer_choices(layer, KINDS, SpaceSettings(vectors=("v8", *VECTORS)))
    }
)


def test_every_choice_of_every_family_comes_back():
    for code in CODES:
        data = code_bytes(code)
        reader = Reader(data + b"rest")
        assert reader.code() == code and reader.at == len(data) and data == crafting.choice(code)
    assert len({code_bytes(code) for code in CODES}) == len(CODES)


@given(
    reference=st.from_regex(r"[a-z]{1,9}:[A-Z][a-z]{0,200}", fullmatch=True),
    fields=st.from_regex(r"[0-9.x]{0,40}", fullmatch=True),
    said=st.sampled_from(["", *VECTORS]),
)
def test_a_users_own_family_comes_back(reference, fields, said):
    code = f"{reference}/{fields}{said}"
    assert Reader(code_bytes(code)).code() == code and crafting.choice(code) == code_bytes(code)


@given(number=st.integers(0, 2**35 - 1))
def test_numbers_come_back(number):
    data = number_bytes(number)
    assert Reader(data).number() == number and len(data) == max(1, -(-number.bit_length() // 7))
    assert data == crafting.number(number)


@given(data=st.binary(max_size=12))
def test_any_bytes_are_a_code_or_damaged(data):
    try:
        code = Reader(data).code()
    except Damaged:
        return
    assert isinstance(code, str)


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("B", "10"),
        ("I4", "494f"),
        ("S32.4.3x3", "9b32a4cf"),
        ("S32.4.3x3s4", "9c32a4ce5f"),
        ("S8.2.1x3", "9c8a2a1b3f"),
        ("m:N/2", "01036d3a4e2f"),
    ],
)
def test_bytes_by_hand(code, data):
    """As docs/format.md says."""
    assert code_bytes(code).hex() == data
