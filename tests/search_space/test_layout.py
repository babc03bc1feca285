import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space.basis import Binary, Float, Integer, Sparse, Stacked
from search_space.errors import BankwiseError
from search_space.layout import (
    choice_bytes,
    fixed_bytes,
    header_bytes,
    header_text,
    layer_parts,
    payload_bytes,
    payload_entries,
)
from search_space.plan import Plan
from search_space.shape import LayerShape, NetworkShape
from search_space.space import SpaceSettings, layer_choices


def draw_plan(data, shape: NetworkShape) -> Plan:
    kinds = ("stacked", "binary", "int3", "int8", "float16", "float32")
    layers = {
        layer.name: data.draw(st.sampled_from(layer_choices(layer, kinds, SpaceSettings(max_k=16))))
        for layer in shape.layers
    }
    keep = tuple(data.draw(st.lists(st.sampled_from(["head", "*.norm", "é"]), max_size=2)))
    vector_bits = data.draw(st.sampled_from([8, 16, 32]))
    return Plan(shape.network, shape.input_shape, shape.classes, layers, keep, vector_bits)


@given(shape=st.from_type(NetworkShape), data=st.data())
def test_the_file_is_a_sum_of_fixed_bytes_and_one_number_a_layer(shape, data):
    plan = draw_plan(data, shape)
    whole = header_bytes(shape, plan) + payload_bytes(payload_entries(shape, plan))
    layers = sum(choice_bytes(layer, plan.layers[layer.name], plan.vector_bits) for layer in shape.layers)
    assert whole == fixed_bytes(shape, plan) + layers


@given(shape=st.from_type(NetworkShape), data=st.data())
def test_fixed_bytes_depend_on_no_choice(shape, data):
    plan, other = draw_plan(data, shape), draw_plan(data, shape)
    other = replace(plan, layers=other.layers)
    assert fixed_bytes(shape, plan) == fixed_bytes(shape, other)


@given(shape=st.from_type(NetworkShape), data=st.data())
def test_parts_lie_one_behind_the_other_each_from_a_whole_byte(shape, data):
    entries = payload_entries(shape, draw_plan(data, shape))
    end = 0
    for entry in entries:
        assert entry.offset == end
        bits = entry.part.elements * entry.part.bits
        assert 0 <= 8 * entry.part.file_bytes - bits < 8
        end += entry.part.file_bytes
    assert payload_bytes(entries) == end
    assert len({(entry.owner, entry.part.name) for entry in entries}) == len(entries)


@given(
    shape=st.from_type(NetworkShape),
    data=st.data(),
    payload=st.integers(0, 10**10 - 1),
    digest=st.binary(min_size=32, max_size=32),
)
def test_the_header_is_json_whose_length_no_payload_changes(shape, data, payload, digest):
    plan = draw_plan(data, shape)
    text = header_text(shape, plan, payload, digest.hex())
    assert 8 + len(text.encode()) == header_bytes(shape, plan)
    values = json.loads(text)
    assert values["payload"] == {"dtype": "U8", "shape": [payload], "data_offsets": [0, payload]}
    metadata = values["__metadata__"]
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata["sha256"] == digest.hex()
    assert metadata.get("keep", "").split() == list(plan.keep)


@given(shape=st.from_type(NetworkShape), data=st.data())
def test_the_order_in_which_a_plan_names_its_layers_changes_nothing(shape, data):
    plan = draw_plan(data, shape)
    shuffled = replace(plan, layers=dict(reversed(plan.layers.items())))
    assert header_text(shape, shuffled, 5) == header_text(shape, plan, 5)
    assert payload_entries(shape, shuffled) == payload_entries(shape, plan)


def test_a_payload_beyond_the_fixed_width_is_an_error():
    layer = LayerShape("fc", "linear", 4, 4)
    plan = Plan("net", (4, 1, 1), 4, {"fc": Binary()})
    with pytest.raises(BankwiseError, match="10000000000 bytes"):
        header_text(NetworkShape("net", (4, 1, 1), 4, (layer,), (), (), 0), plan, 10**10)


@pytest.mark.parametrize(
    ("choice", "normalized", "bias", "names"),
    [
        (Stacked(4, 4, (1, 1)), True, True, ["bank", "indices"]),
        (Stacked(4, 4, (1, 1)), False, True, ["bank", "indices", "scale", "bias"]),
        (Sparse(4, 4, (1, 1), 2, 1, 0), True, True, ["bank", "indices"]),
        (Sparse(4, 4, (1, 1), 2, 2, 1), True, True, ["bank", "indices", "coefficients"]),
        (Sparse(1, 4, (1, 1), 2, 1, 1), False, False, ["bank", "coefficients", "scale"]),
        (Binary(), False, False, ["signs", "scale"]),
        (Integer(4), False, True, ["levels", "scale", "bias"]),
        (Float(16), False, True, ["values", "bias"]),
        (Float(16), True, True, ["values"]),
    ],
    ids=str,
)
def test_a_scale_and_a_bias_are_stored_where_no_norm_carries_them(choice, normalized, bias, names):
    layer = LayerShape("fc", "linear", 4, 4, bias=bias, normalized=normalized)
    assert [part.name for part in layer_parts(layer, choice, 16)] == names
