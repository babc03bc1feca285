import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Binary, Float, Integer, Sparse, Stacked
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import LayerShape, NetworkShape

LAYERS = (
    LayerShape("features.0", "conv2d", 16, 8, (3, 3), padding=(1, 1)),
    LayerShape("features.3", "conv2d", 16, 16, (3, 3), padding=(1, 1)),
    LayerShape("fc", "linear", 10, 16, bias=True),
)
SHAPE = NetworkShape("net", (8, 8, 8), 10, LAYERS, (), (), 0, keep=("head.*",))
CHOICES = {"features.0": Integer(4), "features.3": Stacked(8, 4, (3, 1)), "fc": Float(16)}
PLAN = Plan("net", (8, 8, 8), 10, CHOICES, keep=("head.*",), vector_bits=16)

choices = st.one_of(
    st.builds(Stacked, st.integers(2, 999), st.integers(1, 99), st.tuples(st.integers(1, 7), st.integers(1, 7))),
    st.builds(
        Sparse, st.integers(1, 999), st.integers(1, 99), st.tuples(st.integers(1, 7), st.integers(1, 7)),
        st.sampled_from([1, 2, 4]), st.integers(1, 8), st.integers(0, 8),
    ),
    st.just(Binary()), st.builds(Integer, st.integers(2, 8)), st.builds(Float, st.sampled_from([16, 32])),
)  # fmt: skip
names = st.one_of(
    st.text(min_size=1, max_size=12),
    st.sampled_from(["0", "1.0", "no", "null", "~", "a: b", "- x", "#", "x" * 200, "1e3"]),
)
plans = st.builds(
    Plan, names, st.tuples(*[st.integers(1, 999)] * 3), st.integers(1, 9999),
    st.dictionaries(names, choices, min_size=1, max_size=6), st.lists(names, max_size=3).map(tuple),
    st.sampled_from([8, 16, 32]),
)  # fmt: skip


@given(plan=plans)
def test_any_plan_is_the_same_through_yaml_and_json_text(plan):
    for values in (yaml.safe_load(plan.to_yaml()), json.loads(json.dumps(plan.to_dict()))):
        read = Plan.from_dict(values)
        assert read == plan
        assert list(read.layers) == list(plan.layers)


@pytest.mark.parametrize("name", ["plan.yaml", "plan.yml", "plan.json", "deep/er/plan.yaml"])
def test_saved_and_read_again(tmp_path, name):
    PLAN.save(tmp_path / name)
    assert Plan.read(tmp_path / name) == PLAN
    assert Plan.read(str(tmp_path / name)) == PLAN
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [name.rpartition("/")[2]]


def test_json_with_tabs_is_read(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps(PLAN.to_dict(), indent="\t"))
    assert Plan.read(tmp_path / "plan.json") == PLAN


def test_yaml_is_one_line_a_layer():
    assert PLAN.to_yaml().splitlines()[-3:] == [
        "  features.0: {family: integer, bits: 4}",
        "  features.3: {family: stacked, k: 8, s: 4, tile: 3x1}",
        "  fc: {family: float, bits: 16}",
    ]


def changed(**values) -> dict:
    return PLAN.to_dict() | values


def with_layer(name: str, values: object) -> dict:
    return changed(layers=PLAN.to_dict()["layers"] | {name: values})


def without(key: str) -> dict:
    values = PLAN.to_dict()
    del values[key]
    return values


BANK = {"family": "stacked", "k": 8, "s": 4, "tile": "3x3"}
UNREADABLE = [
    ([], ["plan: [] is not a mapping", "input_shape"]),
    (None, ["plan: None is not a mapping"]),
    (without("version"), ["plan lacks", "'version'"]),
    (changed(version=2), ["version", "2", "reads 1"]),
    (changed(version=True), ["version", "True"]),
    (changed(version="1"), ["version", "'1'"]),
    (without("layers"), ["lacks", "'layers'"]),
    (without("network"), ["lacks", "'network'"]),
    (changed(vektor_bits=8), ["'vektor_bits'", "did you mean vector_bits"]),
    (PLAN.to_dict() | {7: 1}, ["'7'", "known"]),
    (changed(network=None), ["network: None"]),
    (changed(input_shape=[3, 32]), ["input_shape: [3, 32]", "list of 3 values"]),
    (changed(input_shape="3x32x32"), ["input_shape: '3x32x32'"]),
    (changed(input_shape=[3, 32, 0]), ["input_shape: [3, 32, 0]"]),
    (changed(classes=0), ["classes: 0", "positive"]),
    (changed(classes="10"), ["classes: '10'"]),
    (changed(vector_bits=12), ["vector_bits: 12", "(4, 8, 16, 32)"]),
    (changed(vector_bits=8.0), ["vector_bits: 8.0"]),
    (changed(vector_bits=[8]), ["vector_bits: [8]"]),
    (changed(keep="head"), ["keep: 'head'", "list"]),
    (changed(keep=[1]), ["keep[0]: 1 is not text"]),
    (changed(layers=None), ["layers: None", "mapping"]),
    (changed(layers=[BANK]), ["layers:"]),
    (with_layer("fc", None), ["layer 'fc'", "None", "family"]),
    (with_layer("fc", {"family": "floet", "bits": 16}), ["layer 'fc'", "'floet'", "did you mean float"]),
    (with_layer("fc", {"family": "float"}), ["layer 'fc'", "bits"]),
    (with_layer("fc", {"family": "float", "bits": "half"}), ["layer 'fc'", "bits: 'half'", "whole number"]),
    (with_layer("fc", BANK | {"k": -8}), ["layer 'fc'", "k: -8", "positive"]),
    (with_layer("fc", BANK | {"tile": 3}), ["layer 'fc'", "tile: 3", "3x3"]),
    (with_layer("fc", BANK | {"kk": 3}), ["layer 'fc'", "'kk'", "['k', 's', 'tile']"]),
]
IMPOSSIBLE = [
    (with_layer("features.3", BANK | {"s": 5}), ["layer 'features.3'", "s=5", "16 channels", "1, 2, 4, 8, 16"]),
    (with_layer("features.3", BANK | {"tile": "2x3"}), ["layer 'features.3'", "tile=2x3", "3x3"]),
    (with_layer("features.3", BANK | {"tile": "0x3"}), ["layer 'features.3'", "tile=0x3"]),
    (with_layer("features.3", BANK | {"k": 65}), ["layer 'features.3'", "k=65 cannot pay", "2 to 64"]),
    (with_layer("features.3", BANK | {"s": 1, "tile": "1x1", "k": 3}), ["layer 'features.3'", "k=3", "2 to 2"]),
    (with_layer("features.3", BANK | {"k": 1}), ["layer 'features.3'", "k=1", "2 to 64"]),
    (with_layer("fc", {"family": "float", "bits": 8}), ["layer 'fc'", "bits=8", "16, 32"]),
    (with_layer("fc", {"family": "integer", "bits": 1}), ["layer 'fc'", "bits=1", "2 to 8"]),
    (with_layer("features.2", {"family": "binary"}), ["layer 'features.2'", "did you mean features"]),
    (changed(layers={"fc": {"family": "binary"}}), ["no choice for layer 'features.0'"]),
    (changed(network="other"), ["network", "'other'", "'net'"]),
    (changed(input_shape=[3, 8, 8]), ["input_shape", "(3, 8, 8)", "(8, 8, 8)"]),
    (changed(classes=100), ["classes", "100", "10"]),
    (changed(keep=["a b"]), ["keep: 'a b'"]),
    (changed(keep=[]), ["the plan is for keep ()", "('head.*',)"]),
    (changed(keep=[""]), ["keep: ''"]),
]


def assert_one_line(error: BankwiseError, words: list[str]) -> None:
    assert "\n" not in str(error)
    for word in words:
        assert word in str(error)


@pytest.mark.parametrize(("values", "words"), UNREADABLE, ids=[" ".join(words) for _, words in UNREADABLE])
def test_what_is_no_plan_is_one_line(values, words):
    with pytest.raises(BankwiseError) as raised:
        Plan.from_dict(values)
    assert_one_line(raised.value, words)


@pytest.mark.parametrize(("values", "words"), IMPOSSIBLE, ids=[" ".join(words) for _, words in IMPOSSIBLE])
def test_what_the_network_cannot_be_is_one_line(values, words):
    plan = Plan.from_dict(values)
    with pytest.raises(BankwiseError) as raised:
        plan.check(SHAPE)
    assert_one_line(raised.value, words)


def test_a_right_plan_passes():
    PLAN.check(SHAPE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.yaml", "layers: {"),
        ("plan.yaml", "a: 2001-99-99"),
        ("plan.yaml", "{[1]: 2}"),
        ("plan.yaml", "[" * 5000),
        ("plan.yaml", "\0"),
        ("plan.json", "{"),
        ("plan.json", "[" * 100_000),
        ("plan.yaml", ""),
        ("plan.yaml", "version: 9"),
    ],
)
def test_a_file_that_is_no_plan_is_one_line_that_names_it(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(BankwiseError) as raised:
        Plan.read(tmp_path / name)
    assert_one_line(raised.value, [name])


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path, words in (
        (tmp_path / "absent.yaml", "cannot read the plan"),
        (tmp_path, "cannot read the plan"),
        (tmp_path / "binary.yaml", "is not text"),
    ):
        with pytest.raises(BankwiseError) as raised:
            Plan.read(path)
        assert_one_line(raised.value, ["plan", words, path.name])
