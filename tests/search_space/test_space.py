import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import KINDS, Binary, Float, Integer, Sparse, Stacked
from bankwise.search_space.families.sparse import SETTINGS
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape, NetworkShape, NormShape
from bankwise.search_space.space import SearchSpace, layer_choices

LAYERS = (
    LayerShape("stem", "conv2d", 16, 3, (3, 3), normalized=True),
    LayerShape("body.0", "conv2d", 16, 16, (3, 3), normalized=True),
    LayerShape("body.1", "conv2d", 16, 16, (1, 1), normalized=True),
    LayerShape("fc", "linear", 10, 16, bias=True),
)


def stacked_choices(layer: LayerShape, max_k: int, tiles=()) -> list[Stacked]:
    return Stacked.offered(layer, "stacked", SpaceSettings(max_k=max_k, tiles=tiles))


def sparse_choices(layer: LayerShape, max_k: int, tiles=()) -> list[Sparse]:
    return Sparse.offered(layer, "sparse", SpaceSettings(max_k=max_k, tiles=tiles))


SHAPE = NetworkShape("net", (3, 8, 8), 10, LAYERS, (), (), 0)


def brute_force(layer: LayerShape, max_k: int) -> set[Stacked]:
    """Every (k, s, tile) at all, kept where it differs from every cheaper or equal one."""
    n, c, d_h, d_w = layer.weight_shape
    found = set()
    for k in range(2, max_k + 1):
        for s in range(1, c + 1):
            for t_h in range(1, d_h + 1):
                for t_w in range(1, d_w + 1):
                    if c % s or d_h % t_h or d_w % t_w or k & (k - 1):
                        continue
                    dimension, slots = s * t_h * t_w, n * (c // s) * (d_h // t_h) * (d_w // t_w)
                    bits = k * dimension + slots * math.ceil(math.log2(k))
                    if k <= 2**dimension and k <= slots and bits < n * c * d_h * d_w:
                        found.add(Stacked(k, s, (t_h, t_w)))
    return found


@given(layer=st.from_type(LayerShape), max_k=st.sampled_from([2, 3, 8, 33]))
def test_choices_are_exactly_the_banks_that_can_pay(layer, max_k):
    choices = stacked_choices(layer, max_k)
    assert len(choices) == len(set(choices))
    assert set(choices) == brute_force(layer, max_k)
    for choice in choices:
        choice.check(layer)


@given(layer=st.from_type(LayerShape), k=st.integers(3, 31))
def test_a_k_between_powers_of_two_wastes_index_bits(layer, k):
    """The next power of two has the same index bits and a higher rate; only the bank grows."""
    above = 2 ** math.ceil(math.log2(k))
    small, large = Stacked(k, 1, (1, 1)), Stacked(above, 1, (1, 1))
    assert small.parts(layer)[1] == large.parts(layer)[1]
    assert large.rate(layer) >= small.rate(layer)


def every_sparse(layer: LayerShape, max_k: int) -> list[tuple[int, float, Sparse]]:
    """(bits, share captured, choice) of every choice at all below 2 bits a weight."""
    n, c, d_h, d_w = layer.weight_shape
    found = []
    for b, m, a in SETTINGS:
        for k in (2**i for i in range(max_k.bit_length())):
            for s in range(1, c + 1):
                for t_h in range(1, d_h + 1):
                    for t_w in range(1, d_w + 1):
                        if k > max_k or k < m or c % s or d_h % t_h or d_w % t_w:
                            continue
                        dimension, slots = s * t_h * t_w, n * (c // s) * (d_h // t_h) * (d_w // t_w)
                        bits = b * k * dimension + slots * m * (math.ceil(math.log2(k)) + a)
                        if k <= 2 ** (b * dimension - 1) and k <= slots and bits < 2 * layer.weights:
                            choice = Sparse(k, s, (t_h, t_w), b, m, a)
                            found.append((bits, choice.capture(layer), choice))
    return found


@given(layer=st.from_type(LayerShape), max_k=st.sampled_from([2, 8, 33]))
def test_sparse_choices_are_steps_that_pay(layer, max_k):
    """Of each setting the steps: none is within 15 % of a cheaper one, and none left out is above all the cheaper."""
    choices = sparse_choices(layer, max_k)
    assert len(choices) == len(set(choices))
    for setting in SETTINGS:
        found = [row for row in every_sparse(layer, max_k) if setting_of(row[2]) == setting]
        kept = [row for row in found if row[2] in choices]
        assert len(kept) == sum(setting_of(choice) == setting for choice in choices)
        for bits, share, choice in found:
            cheaper = max((mine for cost, mine, other in kept if cost <= bits and other != choice), default=0.0)
            if choice in choices:
                assert share >= 1.15 * max((mine for cost, mine, _ in kept if cost < bits), default=0.0)
                choice.check(layer)
            else:
                assert share < 1.15 * cheaper * (1 + 1e-9)


def setting_of(choice: Sparse) -> tuple[int, int, int]:
    return choice.bits, choice.nonzeros, choice.coefficient_bits


@pytest.mark.parametrize("shape", [(64, 32, 3), (128, 128, 3), (512, 512, 3), (512, 512, 5), (1000, 512, 1)])
def test_sparse_choices_are_not_too_many(shape):
    n, c, d = shape
    choices = sparse_choices(LayerShape("conv", "conv2d", n, c, (d, d)), 256)
    assert 80 <= len(choices) <= 200
    assert {setting_of(choice) for choice in choices} == set(SETTINGS)


def test_tiles_may_be_restricted():
    tiles = {choice.tile for choice in stacked_choices(LAYERS[1], 16, [(3, 3), (1, 3), (2, 2)])}
    assert tiles == {(3, 3), (1, 3)}  # 2x2 divides no 3x3 kernel
    assert {choice.tile for choice in stacked_choices(LAYERS[1], 16)} == {(h, w) for h in (1, 3) for w in (1, 3)}


def test_kinds_become_choices_without_repeats():
    choices = layer_choices(LAYERS[1], ("binary", "int4", "float16", "float32", "int8", "binary"), SpaceSettings())
    assert choices == (Binary(), Integer(4), Float(16), Float(32), Integer(8))
    assert {choice.tile for choice in sparse_choices(LAYERS[1], 16, [(3, 3), (2, 2)])} == {(3, 3)}
    banks = layer_choices(LAYERS[1], ("stacked", "sparse", "stacked"), SpaceSettings(tiles=((3, 3), (3, 3))))
    assert len(banks) == len(set(banks)) > 5


def test_every_kind_gives_choices_that_the_layer_can_be():
    for kind in KINDS:
        for choice in layer_choices(LAYERS[1], (kind,), SpaceSettings()):
            choice.check(LAYERS[1])


def test_first_last_hidden_and_patterns():
    settings = SpaceSettings(("binary",), ("int8",), ("float16",), layers={"body.1": ("int2",), "body.*": ("int3",)})
    space = SearchSpace(SHAPE, settings)
    assert space.choices == ((Integer(8),), (Integer(3),), (Integer(2),), (Float(16),))
    assert SearchSpace(SHAPE, replace(settings, layers={"*": ("int5",)})).choices == ((Integer(5),),) * 4


def test_one_layer_is_the_last():
    settings = SpaceSettings(first=("int8",), last=("int4",))
    space = SearchSpace(NetworkShape("net", (16, 1, 1), 10, LAYERS[-1:], (), (), 0), settings)
    assert space.choices == ((Integer(4),),)


def test_max_k_bounds_every_bank():
    space = SearchSpace(SHAPE, SpaceSettings(max_k=8))
    assert max(choice.k for row in space.choices for choice in row if isinstance(choice, Stacked)) == 8


@given(data=st.data())
def test_indices_and_plans_are_two_names_of_one_thing(data):
    shape = replace(SHAPE, keep=("head",))
    space = SearchSpace(shape, SpaceSettings(keep=("head",), vector_bits=16))
    indices = [data.draw(st.integers(0, size - 1)) for size in space.sizes]
    plan = space.plan(indices)
    assert space.indices(plan).tolist() == indices
    assert (plan.keep, plan.vector_bits, tuple(plan.layers)) == (("head",), 16, space.names)
    assert space.prices.plan_file_bytes(np.array([indices])).tolist() == [price(shape, plan).file_bytes]


def test_a_plan_outside_the_space_is_an_error():
    space = SearchSpace(SHAPE)
    plan = space.plan([0] * 4)
    with pytest.raises(BankwiseError, match="layer 'fc': float bits=32 is not in the search space"):
        space.indices(replace(plan, layers={**plan.layers, "fc": Float(32)}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hidden": ("stackd",)}, ["'stackd'", "did you mean stacked"]),
        ({"first": ("float8",)}, ["'float8'", "float16"]),
        ({"last": ("int9",)}, ["'int9'", "int8"]),
        ({"hidden": ()}, ["at least one kind", "stacked, sparse, binary"]),
        ({"layers": {"fc": ("bin",)}}, ["'bin'", "binary"]),
        ({"max_k": 1}, ["max_k=1", "at least 2"]),
        ({"tiles": ((0, 3),)}, ["tiles", "(0, 3)"]),
        ({"tiles": ((3,),)}, ["tiles", "(3,)"]),
        ({"vector_bits": 12}, ["vector_bits: 12", "(4, 8, 16, 32)"]),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_one_line(values, words):
    with pytest.raises(BankwiseError) as raised:
        SpaceSettings(**values)
    for word in words:
        assert word in str(raised.value)


def test_a_pattern_that_matches_no_layer_names_the_nearest():
    with pytest.raises(BankwiseError, match="unknown layer 'body.9': did you mean body"):
        SearchSpace(SHAPE, SpaceSettings(layers={"body.9": ("binary",)}))


def test_a_layer_that_no_bank_can_pay_for():
    tiny = LayerShape("tiny", "conv2d", 1, 2, (1, 1))
    with pytest.raises(BankwiseError, match="layer 'tiny' of 1x2x1x1 weights: no bank can pay; .*binary"):
        layer_choices(tiny, ("stacked",), SpaceSettings())
    assert layer_choices(tiny, ("stacked", "binary"), SpaceSettings()) == (Binary(),)


def test_a_network_without_layers_has_no_space():
    with pytest.raises(BankwiseError, match="'net' has no convolution or linear layer"):
        SearchSpace(NetworkShape("net", (3, 8, 8), 10, (), (), (), 0))


def test_vectors_are_choices_where_a_layer_has_any():
    """Of a layer with a batch norm of its own, or a scale or bias; what goes without saying is not said."""
    layers = (
        LayerShape("own", "conv2d", 4, 4, normalized=True, norm="norm"),
        LayerShape("apart", "conv2d", 4, 4, normalized=True),
        LayerShape("scaled", "linear", 4, 4),
    )
    shape = NetworkShape("net", (4, 1, 1), 4, layers, (NormShape("norm", 4),), (), 0)
    kinds = ("binary", "float16")
    space = SearchSpace(shape, SpaceSettings(kinds, kinds, kinds, vectors=("v8", "s4")))
    found = [[choice.code() for choice in row] for row in space.choices]
    assert found == [["B", "Bs4", "F16", "F16s4"], ["B", "F16"], ["B", "Bs4", "F16"]]
    price = dict(zip(found[0], space.prices.file_bytes[0].tolist(), strict=True))
    assert price["B"] == 1 + 2 + 2 * (4 + 4) and price["Bs4"] == 2 + 2 + 2 + (2 + 4)
    with pytest.raises(BankwiseError, match="layer 'apart': vectors=s4: it has no batch norm of its own"):
        space.make_plan({name: replace(Binary(), vectors="s4") for name in space.names}).check(shape)
    with pytest.raises(BankwiseError, match="unknown storage of vectors 'v5'"):
        SpaceSettings(vectors=("v5",))


def test_within_a_budget_the_usual_ways_are_offered_unless_others_are_asked_for():
    shape = SHAPE
    assert SpaceSettings().within(1000, shape).vectors == ("v8", "v4", "s4")
    assert SpaceSettings(vectors=()).within(1000, shape).vectors == ()
    assert SpaceSettings(vectors=("p4",)).within(1000, shape).vectors == ("p4",)
    assert SpaceSettings(vector_bits=16).within(1000, shape).vectors is None
    assert SpaceSettings.from_dict({"vectors": "v8, s4"}).vectors == ("v8", "s4")


def test_depthwise_layers_have_kinds_of_their_own():
    layers = (
        LayerShape("first", "conv2d", 8, 3, (3, 3)),
        LayerShape("depthwise", "conv2d", 8, 1, (3, 3), groups=8),
        LayerShape("point", "conv2d", 8, 8),
        LayerShape("last", "linear", 10, 8),
    )
    shape = NetworkShape("net", (3, 8, 8), 10, layers, (), (), 0)

    def bits(settings: SpaceSettings, layer: int) -> set[int]:
        return {one.bits for one in SearchSpace(shape, settings).choices[layer] if isinstance(one, Integer)}

    least = SpaceSettings().within(1, shape)
    assert bits(least, 1) == {2, 3, 4, 5, 6, 8} and bits(least, 2) == set()
    assert bits(SpaceSettings(depthwise=("int3",)), 1) == {3} and bits(SpaceSettings(), 1) == set()
    assert bits(SpaceSettings(("int4",)).within(1, shape), 1) == {4}
    assert SpaceSettings.from_dict({"depthwise": "int3,binary"}).depthwise == ("int3", "binary")
    with pytest.raises(BankwiseError, match="int9"):
        SpaceSettings(depthwise=("int9",))
