"""Prices against the closed forms and the worked table of the papers' two-term formula."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Binary, Choice, Float, Integer, Stacked
from bankwise.search_space.families.bank import divisors
from bankwise.search_space.networks import build
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import PriceTable, layer_price, paper_bits, price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.space import layer_choices
from bankwise.search_space.trace import trace

# Bits a weight of the compressed layers: every 3x3 convolution but the first, all with the same rule.
COLUMNS = {
    "k=n/2 s=c": (lambda n: n // 2, 1),
    "k=n/2 s=c/4": (lambda n: n // 2, 4),
    "k=n/4 s=c/4": (lambda n: n // 4, 4),
    "k=n/8 s=c/4": (lambda n: n // 8, 4),
    "k=16 s=c/4": (lambda n: 16, 4),
}
TABLE = {
    "vgg16": (14_708_736, ["0.5022", "0.1337", "0.0700", "0.0376", "0.0136"]),
    "resnet20": (267_264, ["0.5111", "0.1695", "0.0970", "0.0557", "0.1243"]),
    "resnet56": (847_872, ["0.5105", "0.1671", "0.0951", "0.0543", "0.1216"]),
    "resnet18": (10_985_472, ["0.5025", "0.1352", "0.0713", "0.0386", "0.0167"]),
}


@cache
def network_shape(name: str) -> NetworkShape:
    with torch.device("meta"):
        network = build(name, classes=10, in_channels=3)
    return trace(network, name, (3, 32, 32), 10)


def compressed(shape: NetworkShape) -> list[LayerShape]:
    return [layer for layer in shape.layers if layer.kernel == (3, 3)][1:]


def table_plan(shape: NetworkShape, column: str, others: Choice) -> Plan:
    k, parts = COLUMNS[column]
    banks = {layer.name: Stacked(k(layer.n), layer.c // parts, (3, 3)) for layer in compressed(shape)}
    layers = {layer.name: banks.get(layer.name, others) for layer in shape.layers}
    return Plan(shape.network, shape.input_shape, shape.classes, layers)


@pytest.mark.parametrize("name", TABLE)
def test_weights_of_the_worked_table(name):
    assert sum(layer.weights for layer in compressed(network_shape(name))) == TABLE[name][0]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("name", TABLE)
def test_every_cell_of_the_worked_table(name, column):
    shape = network_shape(name)
    cost = price(shape, table_plan(shape, column, Float(32)))
    assert f"{cost.paper_bits_per_weight:.4f}" == TABLE[name][1][list(COLUMNS).index(column)]


@pytest.mark.parametrize(("others", "ratio"), [(Binary(), "215"), (Float(32), "50")])
def test_what_the_paper_leaves_out_weighs_more_than_the_banks(others, ratio):
    """ResNet-18 at k=n/2, s=c/4: weights alone, times smaller than float32."""
    shape = network_shape("resnet18")
    plan = table_plan(shape, "k=n/2 s=c/4", others)
    bits = sum(part.total_bits for layer in shape.layers for part in plan.layers[layer.name].parts(layer))
    assert f"{32 * shape.weights / bits:.0f}" == ratio


def test_batch_norm_of_vgg16_is_a_quarter_of_a_megabit_in_float32():
    shape = network_shape("vgg16")
    plan = Plan("vgg16", (3, 32, 32), 10, {layer.name: Binary() for layer in shape.layers}, vector_bits=32)
    parts = [part for layer in price(shape, plan).layers for part in layer.parts if part.name.startswith("norm")]
    assert sum(part.total_bits for part in parts) == 270_336


def draw_bank(data, layer: LayerShape) -> Stacked:
    tile = tuple(data.draw(st.sampled_from(divisors(d))) for d in layer.kernel)
    s = data.draw(st.sampled_from(divisors(layer.c)))
    most = min(2 ** (s * math.prod(tile)), layer.weights // (s * math.prod(tile)), 300)
    assume(most >= 2)
    return Stacked(data.draw(st.integers(2, most)), s, tile)


@given(layer=st.from_type(LayerShape), data=st.data())
def test_bits_of_a_bank(layer, data):
    choice = draw_bank(data, layer)
    (n, c, d_h, d_w), (t_h, t_w), k, s = layer.weight_shape, choice.tile, choice.k, choice.s
    q = (c // s) * (d_h // t_h) * (d_w // t_w)
    log = math.ceil(math.log2(k))
    bits = paper_bits(layer, choice)
    assert bits == k * s * t_h * t_w + n * q * log
    assert [part.total_bits for part in choice.parts(layer)] == [k * s * t_h * t_w, n * q * log]
    if choice.tile == layer.kernel:
        assert bits == k * s * d_h * d_w + n * (c // s) * log
        assert bits / layer.weights == pytest.approx(k * s / (c * n) + log / (s * d_h * d_w))
        assert 32 * layer.weights / bits == pytest.approx(32 * n * c * d_h * d_w / bits)
    assert choice.rate(layer) == pytest.approx(math.log2(k) / (s * t_h * t_w))


@given(n=st.integers(1, 600), c=st.integers(1, 600), d=st.sampled_from([1, 3, 5]), tau=st.integers(1, 10))
def test_the_cheapest_s_of_a_bank_lies_beside_its_closed_form(n, c, d, tau):
    layer = LayerShape("conv", "conv2d", n, c, (d, d))
    k = 2**tau
    bits = {s: paper_bits(layer, Stacked(k, s, (d, d))) for s in divisors(c)}
    best = math.sqrt(n * c * tau / (k * d * d))
    below = max((s for s in bits if s <= best), default=None)
    above = min((s for s in bits if s >= best), default=None)
    assert min(bits.values()) == min(bits[s] for s in (below, above) if s is not None)
    assert min(bits.values()) >= 2 * d * math.sqrt(k * n * c * tau) * (1 - 1e-12)  # its value there


@given(n=st.integers(2, 300), c=st.integers(1, 300), d=st.sampled_from([1, 2, 3]))
def test_one_group_and_a_filter_each_is_a_binary_layer_and_its_index(n, c, d):
    layer = LayerShape("conv", "conv2d", n, c, (d, d))
    binary = paper_bits(layer, Binary())
    assert binary == n * c * d * d
    assert paper_bits(layer, Stacked(n, c, (d, d))) == binary + n * math.ceil(math.log2(n))


@given(n=st.integers(1, 300), c=st.integers(1, 300), tau=st.integers(1, 9))
def test_one_channel_a_filter_is_the_sub_bit_form(n, c, tau):
    """SNN and Sparks: tau bits a 3x3 kernel and 2^tau kernels of 9 bits."""
    layer = LayerShape("conv", "conv2d", n, c, (3, 3))
    assert paper_bits(layer, Stacked(2**tau, 1, (3, 3))) == n * c * tau + 9 * 2**tau


@given(layer=st.from_type(LayerShape), data=st.data())
def test_a_bank_that_can_never_pay_is_refused(layer, data):
    choice = draw_bank(data, layer)
    choice.check(layer)
    most = min(2**choice.dimension, choice.slots(layer))
    with pytest.raises(BankwiseError, match=f"k={most + 1} cannot pay"):
        Stacked(most + 1, choice.s, choice.tile).check(layer)


@given(layer=st.from_type(LayerShape), data=st.data(), calls=st.integers(1, 3))
def test_operations_of_a_bank(layer, data, calls):
    """Counted by their own loops: every map position that some output reads at some tile offset, once."""
    choice = draw_bank(data, layer)
    layer = LayerShape(**{**vars(layer), "calls": calls})
    q = (layer.c // choice.s) * math.prod(d // t for d, t in zip(layer.kernel, choice.tile, strict=True))
    channels = layer.c * layer.groups
    read = {
        (
            y * layer.stride[0] + row * layer.dilation[0],
            x * layer.stride[1] + column * layer.dilation[1],
        )
        for y in range(layer.out_size[0])
        for x in range(layer.out_size[1])
        for row in range(0, layer.kernel[0], choice.tile[0])
        for column in range(0, layer.kernel[1], choice.tile[1])
    }
    transform = choice.k * channels * math.prod(choice.tile) * len(read) * calls
    merge = layer.n * q * math.prod(layer.out_size) * calls
    cost = choice.operations(layer, "merge")
    assert (cost.multiplications, cost.additions) == (0, transform + merge)
    assert cost.map_bytes == 4 * choice.k * (channels // choice.s) * len(read)
    standard = choice.operations(layer, "materialized")
    macs = layer.n * layer.c * math.prod(layer.kernel) * math.prod(layer.out_size) * calls
    assert (standard.multiplications, standard.additions, standard.map_bytes) == (macs, macs, 0)


@given(n=st.integers(2, 64), c=st.integers(1, 64), d=st.sampled_from([1, 3]), size=st.integers(1, 16), data=st.data())
def test_additions_against_the_standard_layer(n, c, d, size, data):
    """The ratio k/n + 1/(s d^2), so a bank is faster only where k < n."""
    layer = LayerShape("conv", "conv2d", n, c, (d, d), in_size=(size, size), out_size=(size, size))
    choice = Stacked(data.draw(st.integers(2, 200)), data.draw(st.sampled_from(divisors(c))), (d, d))
    standard = choice.operations(layer, "materialized").additions
    ratio = choice.operations(layer, "merge").additions / standard
    assert ratio == pytest.approx(choice.k / n + 1 / (choice.s * d * d))
    assert choice.k < n or ratio > 1


@given(out=st.integers(3, 20), tile=st.sampled_from([(3, 3), (1, 3), (3, 1), (1, 1)]))
def test_maps_of_a_split_kernel_are_larger_than_the_output(out, tile):
    layer = LayerShape("conv", "conv2d", 4, 8, (3, 3), in_size=(out, out), out_size=(out, out), padding=(1, 1))
    places = (out + 3 - tile[0]) * (out + 3 - tile[1])
    cost = Stacked(4, 4, tile).operations(layer, "merge")
    assert cost.map_bytes == 4 * 4 * 2 * places
    assert cost.additions == 4 * 8 * math.prod(tile) * places + 4 * 2 * (9 // math.prod(tile)) * out * out


def test_accountings_by_layer_and_part():
    layers = (
        LayerShape("conv", "conv2d", 8, 4, (3, 3), padding=(1, 1), normalized=True, in_size=(4, 4), out_size=(4, 4)),
        LayerShape("fc", "linear", 10, 8, bias=True, live_bytes=200),
    )
    shape = NetworkShape("net", (4, 4, 4), 10, layers, (), (), 900)
    cost = price(shape, Plan("net", (4, 4, 4), 10, {"conv": Stacked(4, 2, (3, 3)), "fc": Integer(4)}, vector_bits=16))
    conv, fc = cost.layers
    assert {part.name: part.total_bits for part in conv.parts} == {"bank": 72, "indices": 32}
    assert {part.name: part.total_bits for part in fc.parts} == {"levels": 320, "scale": 160, "bias": 160}
    code, whole = 1 + 2, 1 + 1  # the letter; 4 . 2 and .3x3 in half a byte each; 4 in one
    assert (conv.file_bytes, fc.file_bytes) == (9 + 4 + code, 40 + 20 + 20 + whole)
    assert cost.paper_bits == 104 and cost.paper_bits_per_weight == 104 / 288
    assert cost.file_bytes == sum(cost.fixed.values()) + conv.file_bytes + fc.file_bytes
    assert cost.file_bits_per_weight == 8 * cost.file_bytes / (288 + 80)
    assert cost.ratio == 4 * (288 + 80 + 10) / cost.file_bytes
    merged, standard = cost.totals("merge"), cost.totals("materialized")
    assert (standard.multiplications, standard.additions) == (288 * 16 + 80, 288 * 16 + 80)
    assert (merged.multiplications, merged.additions) == (80, 4 * 4 * 9 * 16 + 8 * 2 * 16 + 80)
    assert (standard.peak_bytes, merged.peak_bytes) == (900, max(900, 4 * 4 * 2 * 16))
    assert conv.merge_peak_bytes == 4 * 4 * 2 * 16


def test_a_plan_of_float_layers_has_no_paper_bits():
    layer = LayerShape("fc", "linear", 10, 8)
    shape = NetworkShape("net", (8, 1, 1), 10, (layer,), (), (), 0)
    assert price(shape, Plan("net", (8, 1, 1), 10, {"fc": Float(16)})).paper_bits_per_weight == 0


def test_a_plan_of_another_network_has_no_price():
    shape = network_shape("resnet20")
    plan = table_plan(network_shape("vgg16"), "k=n/2 s=c", Binary())
    with pytest.raises(BankwiseError, match="'vgg16', not for 'resnet20'"):
        price(shape, plan)


@given(shape=st.from_type(NetworkShape), data=st.data())
def test_the_table_prices_every_plan_as_price_does(shape, data):
    kinds = ("stacked", "sparse", "binary", "int4", "float16")
    vector_bits = data.draw(st.sampled_from([4, 8, 16, 32]))
    settings = SpaceSettings(max_k=32, vectors=data.draw(st.sampled_from([(), ("v8", "s4", "p4"), ("v4",)])))
    rows = [layer_choices(layer, kinds, settings) for layer in shape.layers]
    picks = np.array([[data.draw(st.integers(0, len(row) - 1)) for row in rows] for _ in range(4)])

    def plan(indices) -> Plan:
        layers = {layer.name: row[i] for layer, row, i in zip(shape.layers, rows, indices, strict=True)}
        return Plan(shape.network, shape.input_shape, shape.classes, layers, vector_bits=vector_bits)

    table = PriceTable(shape, rows, plan(picks[0]))
    costs = [price(shape, plan(indices)) for indices in picks]
    assert table.plan_file_bytes(picks).tolist() == [cost.file_bytes for cost in costs]
    assert table.plan_file_bytes(picks[0]) == costs[0].file_bytes
    for column in (table.file_bytes, table.paper_bits, table.additions, table.multiplications, table.merge_peak_bytes):
        assert [len(row) for row in column] == [len(row) for row in rows]
    for i, (layer, row) in enumerate(zip(shape.layers, rows, strict=True)):
        cost = layer_price(layer, row[picks[0][i]], vector_bits)
        assert table.additions[i][picks[0][i]] == cost.merge.additions
        assert table.multiplications[i][picks[0][i]] == cost.merge.multiplications
        assert table.merge_peak_bytes[i][picks[0][i]] == cost.merge_peak_bytes
