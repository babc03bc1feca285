import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Binary, Float, Integer, Sparse, Stacked
from bankwise.search_space.part import Part
from bankwise.search_space.parts import layer_parts
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.space import SearchSpace, layer_choices
from bankwise.search_space.targets.file.layout import (
    choice_bytes,
    fixed_bytes,
    front,
    header_bytes,
    payload_bytes,
    payload_entries,
)
from bankwise.search_space.targets.file.symbols import code_bytes
from bankwise.search_space.trace import shape_of


def draw_plan(data, shape: NetworkShape) -> Plan:
    kinds = ("stacked", "binary", "int3", "int8", "float16", "float32")
    settings = SpaceSettings(max_k=16, vectors=data.draw(st.sampled_from([(), ("v8", "v4", "s4"), ("p8",)])))
    layers = {layer.name: data.draw(st.sampled_from(layer_choices(layer, kinds, settings))) for layer in shape.layers}
    keep = tuple(data.draw(st.lists(st.sampled_from(["head", "*.norm", "é"]), max_size=2)))
    vector_bits = data.draw(st.sampled_from([4, 8, 16, 32]))
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


@given(shape=st.from_type(NetworkShape), data=st.data())
def test_the_header_is_json_with_the_length_of_what_follows(shape, data):
    plan = draw_plan(data, shape)
    parts = bytes(payload_bytes(payload_entries(shape, plan)))
    begin = front(shape, plan, parts)
    assert len(begin) == header_bytes(shape, plan)
    length = 8 + int.from_bytes(begin[:8], "little")
    payload = len(begin) - length + len(parts)
    wanted = {"dtype": "U8", "shape": [payload], "data_offsets": [0, payload]}
    assert json.loads(begin[8:length]) == {"bw3": wanted}


@given(shape=st.from_type(NetworkShape), data=st.data())
def test_the_order_in_which_a_plan_names_its_layers_changes_nothing(shape, data):
    plan = draw_plan(data, shape)
    shuffled = replace(plan, layers=dict(reversed(plan.layers.items())))
    parts = bytes(payload_bytes(payload_entries(shape, plan)))
    assert front(shape, shuffled, parts) == front(shape, plan, parts)
    assert payload_entries(shape, shuffled) == payload_entries(shape, plan)


class Vast(Binary):
    """A byte for every bit."""

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        return (Part("signs", (*shape.weight_shape, 1000), 8),)


def test_a_family_that_takes_more_than_the_header_can_say_is_an_error_before_any_file():
    layer = LayerShape("fc", "linear", 40, 40)
    shape = NetworkShape("net", (40, 1, 1), 40, (layer,), (), (), 0)
    with pytest.raises(BankwiseError, match="more than a file of this network holds"):
        price(shape, Plan("net", (40, 1, 1), 40, {"fc": Vast()}))


def test_what_tiny_takes_beside_its_parameters_is_at_most_128_bytes():
    """The file's header, checksum and description, for the longest codes that any search in 900 or 2048 bytes has."""
    shape = shape_of("tiny", (1, 8, 8), 10)
    for budget in (900, 2048):
        for vectors in ((), ("v8", "v4", "s4")):
            space = SearchSpace(shape, SpaceSettings(vectors=vectors).within(budget, shape))
            longest = [max(row, key=lambda choice: len(code_bytes(choice.code()))) for row in space.choices]
            plan = space.make_plan(dict(zip(space.names, longest, strict=True)))
            assert header_bytes(shape, plan) <= 128
    assert header_bytes(shape, replace(plan, layers={name: Binary() for name in space.names})) <= 100


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
