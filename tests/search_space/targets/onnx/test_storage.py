"""Packed tensors: unpacked by what ONNX has, they are the codes again; every part's bytes are counted."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bankwise.search_space.bits import pack_codes
from bankwise.search_space.families import Binary, Float, Integer, Stacked, Tiled
from bankwise.search_space.networks import build
from bankwise.search_space.part import Part
from bankwise.search_space.parts import plan_parts
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.onnx.storage import Ranged, Real, Whole, blank_codes, layout, sizes, unpacked
from bankwise.search_space.trace import trace
from bankwise.search_space.vector import Steps, float_values

SHAPE = trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10, ("0",))
CHOICES = (Stacked(8, 4, (3, 3)), Tiled(4), Integer(3), Float(32))


def plan(vector_bits: int = 8) -> Plan:
    choices = dict(zip((layer.name for layer in SHAPE.layers), CHOICES, strict=False))
    layers = {layer.name: choices.get(layer.name, Binary()) for layer in SHAPE.layers}
    return Plan("tiny", (1, 8, 8), 10, layers, ("0",), vector_bits)


@pytest.mark.parametrize("bits", range(1, 33))
def test_every_width_of_code_is_unpacked(bits):
    count = 3 * (8 // math.gcd(8, bits))
    codes = torch.randint(0, 2**bits, (count,), generator=torch.Generator().manual_seed(bits))
    codes[:2] = torch.tensor([0, 2**bits - 1])
    packed = torch.tensor(list(pack_codes(codes, bits)), dtype=torch.uint8)
    assert len(packed) * 8 == count * bits and torch.equal(unpacked(packed, bits), codes)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**20), vector_bits=st.sampled_from([8, 16, 32]))
def test_what_is_unpacked_is_what_was_stored(seed, vector_bits):
    mine, generator = plan(vector_bits), torch.Generator().manual_seed(seed)
    real = {(owner, part.name) for owner, part in plan_parts(SHAPE, mine) if part.real}
    codes = {
        key: torch.randint(0, 2 ** (7 if key in real else 1), code.shape, generator=generator)  # of finite numbers
        for key, code in blank_codes(SHAPE, mine).items()
    }
    found = {}
    for group in layout(SHAPE, mine):
        found |= group.unpacked(group.stored(codes))
    for owner, part in plan_parts(SHAPE, mine):
        if part.name.endswith(".range"):
            assert (owner, part.name) not in found
            continue
        values = found[owner, part.name]
        if (owner, f"{part.name}.range") in codes:
            own = {name: code for (other, name), code in codes.items() if other == owner}
            assert torch.equal(values, Steps(8).values(part.name, own, part.elements))
        elif part.real:
            assert torch.equal(values, float_values(codes[owner, part.name], part.bits))
        else:
            assert torch.equal(values, codes[owner, part.name])


@pytest.mark.parametrize("vector_bits", [8, 16, 32])
def test_sizes_are_the_bytes_of_the_tensors_without_padding(vector_bits):
    mine = plan(vector_bits)
    groups = layout(SHAPE, mine)
    parts = {(owner, part.name): part for owner, part in plan_parts(SHAPE, mine)}
    found = sizes(groups)
    assert set(found) == set(parts) and all(found[key] <= part.file_bytes for key, part in parts.items())
    for group in groups:
        bits = sum(part.total_bits for _, part in group.parts)
        stored = sum(tensor.nbytes for tensor in group.stored(blank_codes(SHAPE, mine)).values())
        assert sum(found[owner, part.name] for owner, part in group.parts) == -(-bits // 8)
        assert 0 <= stored - -(-bits // 8) <= (max(group.parts[0][1].bits, 8) if isinstance(group, Whole) else 0)


def test_vectors_of_one_length_are_a_group_of_their_own():
    kinds = {type(group) for group in layout(SHAPE, plan(8))}
    assert kinds == {Whole, Real, Ranged} and {type(group) for group in layout(SHAPE, plan(16))} == {Whole, Real}


def test_what_is_only_called_a_range_is_a_part_like_any_other():
    class Named(Binary):
        def parts(self, shape):
            return (Part("codes", (4,), 3), Part("codes.range", (2,), 8))

    first = SHAPE.layers[0].name
    mine = plan()
    groups = layout(SHAPE, replace(mine, layers={**mine.layers, first: Named()}))
    found = {(owner, part.name): type(group) for group in groups for owner, part in group.parts}
    assert found[first, "codes"] is found[first, "codes.range"] is Whole
