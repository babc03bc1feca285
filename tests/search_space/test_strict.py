from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.strict import parse_json, plain, read, read_file, read_known, to_dict


@dataclass(frozen=True)
class Inner:
    kinds: tuple[str, ...] = ("a",)
    tile: tuple[int, int] = (3, 3)

    def __post_init__(self) -> None:
        if self.tile[0] < 1:
            raise BankwiseError(f"tile {self.tile} must be positive")


@dataclass(frozen=True)
class Outer:
    name: str
    epochs: int = 1
    lr: float = 0.5
    flag: bool = True
    limit: int | None = None
    mode: Literal["fast", "slow"] = "fast"
    inner: Inner = field(default_factory=Inner)
    many: tuple[Inner, ...] = ()
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    either: int | str = 0
    maybe: Inner | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise BankwiseError(f"epochs {self.epochs} must be at least 1")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
inners = st.builds(Inner, st.lists(texts).map(tuple), st.tuples(st.integers(1, 2**200), st.integers()))
outers = st.builds(
    Outer, texts, st.integers(1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(),
    st.none() | st.integers(-(2**70), 2**70), st.sampled_from(["fast", "slow"]), inners,
    st.lists(inners, max_size=3).map(tuple), st.dictionaries(texts, st.lists(texts).map(tuple), max_size=3),
    st.integers() | texts, st.none() | inners,
)  # fmt: skip


@given(outers)
def test_any_dataclass_is_the_same_through_plain_values_json_and_yaml(outer):
    values = to_dict(outer)
    for again in (values, json.loads(json.dumps(values)), yaml.safe_load(yaml.safe_dump(values))):
        assert read(Outer, again, "outer") == outer


def test_lists_become_tuples_and_whole_numbers_floats():
    found = read(Outer, {"name": "x", "lr": 1, "inner": {"tile": [1, 3]}, "layers": {4: ["b"]}}, "outer")
    assert found == Outer("x", lr=1.0, inner=Inner(tile=(1, 3)), layers={"4": ("b",)})
    assert type(found.lr) is float and type(found.inner.tile) is tuple


WRONG = [
    ({"epoch": 3}, ["unknown outer key 'epoch'", "did you mean epochs"]),
    ({"inner": {"kind": ["a"]}}, ["unknown outer inner key 'kind'", "did you mean kinds"]),
    ({"many": [{}, {"tle": [1, 1]}]}, ["unknown outer many[1] key 'tle'", "did you mean tile"]),
    ({"maybe": {"tle": [1, 1]}}, ["unknown outer maybe key 'tle'", "did you mean tile"]),
    ({"epochs": "3"}, ["outer epochs: '3' is not a whole number"]),
    ({"epochs": True}, ["outer epochs: True is not a whole number"]),
    ({"epochs": 1.5}, ["outer epochs: 1.5 is not a whole number"]),
    ({"epochs": 2.0}, ["outer epochs: 2.0 is not a whole number"]),
    ({"epochs": None}, ["outer epochs: None is not a whole number"]),
    ({"epochs": 0}, ["epochs 0 must be at least 1"]),
    ({"epochs": 10**5000}, ["outer epochs: a number of about 5000 digits"]),
    ({"lr": "1"}, ["outer lr: '1' is not a number"]),
    ({"lr": True}, ["outer lr: True is not a number"]),
    ({"lr": float("nan")}, ["outer lr: nan is not a finite number"]),
    ({"lr": float("-inf")}, ["outer lr: -inf is not a finite number"]),
    ({"flag": 1}, ["outer flag: 1 is not true or false"]),
    ({"flag": "yes"}, ["outer flag: 'yes' is not true or false"]),
    ({"name": 3}, ["outer name: 3 is not text"]),
    ({"name": datetime.date(2026, 1, 1)}, ["outer name", "2026", "quotes"]),
    ({"name": b"x"}, ["outer name: b'x' is not text"]),
    ({"name": "\ud800"}, ["outer name", "is not text"]),
    ({"mode": "fsat"}, ["outer mode: 'fsat' is not one of 'fast' or 'slow'"]),
    ({"inner": 3}, ["outer inner: 3 is not a mapping with the keys kinds, tile"]),
    ({"inner": {"tile": [3]}}, ["outer inner.tile: [3] is not a list of 2 values"]),
    ({"inner": {"tile": [3, 3, 3]}}, ["outer inner.tile: [3, 3, 3] is not a list of 2 values"]),
    ({"inner": {"tile": "3x3"}}, ["outer inner.tile: '3x3' is not a list"]),
    ({"inner": {"tile": [0, 1]}}, ["outer inner: tile (0, 1) must be positive"]),
    ({"inner": {"kinds": ["a", 4]}}, ["outer inner.kinds[1]: 4 is not text"]),
    ({"layers": {"4.*": ["a", None]}}, ["outer layers['4.*'][1]: None is not text"]),
    ({"layers": ["a"]}, ["outer layers: ['a'] is not a mapping"]),
    ({"layers": {None: ["a"]}}, ["outer layers: the key None is not text", "quotes"]),
    ({"layers": {4: ["a"], "4": ["b"]}}, ["outer layers: the key '4' is there twice"]),
    ({"either": [1]}, ["outer either: [1] is not a whole number or text"]),
    ({"name": "x" * 10**6, "flag": 0}, ["outer flag: 0"]),
    ({"flag": "x" * 10**6}, ["outer flag: 'xxx", "..."]),
    ({"flag": [[["x"] * 99] * 99] * 99}, ["outer flag: [", "..."]),
]


@pytest.mark.parametrize(("values", "words"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_wrong_is_one_short_line_with_path_and_value(values, words):
    with pytest.raises(BankwiseError) as raised:
        read(Outer, {"name": "x"} | values, "outer")
    message = str(raised.value)
    assert "\n" not in message and len(message) < 500
    assert all(word in message for word in words), message


def test_a_missing_key_and_values_that_are_no_mapping():
    with pytest.raises(BankwiseError, match="^outer lacks the key 'name'$"):
        read(Outer, {}, "outer")
    for values in (None, [], "x", 3):
        with pytest.raises(BankwiseError, match="is not a mapping with the keys name, epochs"):
            read(Outer, values, "outer")


BILLION = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.yaml", "a: {", "not YAML"),
        ("x.yaml", "a: 2001-99-99", "not YAML"),
        ("x.yaml", "{[1]: 2}", "not YAML"),
        ("x.yaml", "[" * 5000, "nested too deep"),
        ("x.yaml", "a: \0", "not YAML"),
        ("x.yaml", "a: 1\x01", "not YAML"),
        ("x.yaml", "a: " + "9" * 5000, "not YAML"),
        ("x.yaml", "a: 2001-01-01", "in quotes"),
        ("x.yaml", "a: !!binary aGk=", "in quotes"),
        ("x.yaml", "a: !!set {b}", "in quotes"),
        ("x.yaml", "a: !!python/object:os.system {}", "not YAML"),
        ("x.yaml", "a: &a [*a]", "nested too deep"),
        ("x.yaml", BILLION, "too many values"),
        ("x.json", "{", "not JSON"),
        ("x.json", "", "not JSON"),
        ("x.json", "[" * 100_000, "nested too deep"),
        ("x.json", "9" * 5000, "not JSON"),
        ("absent.yaml", None, "cannot read the plan"),
        (".", None, "cannot read the plan"),
        ("nul\0.yaml", None, "cannot read the plan"),
    ],
)
def test_a_file_that_is_none_is_one_line_that_names_it(tmp_path: Path, name, text, words):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(BankwiseError, match=words) as raised:
        read_file(path, "plan")
    message = str(raised.value)
    assert "\n" not in message and len(message) < 700 and (str(tmp_path) in message)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.yaml", "a: 1\nb: 2\na: 3\n", "the key 'a' is given twice in line 3$"),
        ("x.yaml", "a: 1\n'a': 1\n", "the key 'a' is given twice in line 2$"),
        ("x.yaml", "a:\n- {b: 1, c: 2, b: 1}\n", "the key 'b' is given twice in line 2$"),
        ("x.yaml", "4: 1\n4: 2\n", "the key '4' is given twice in line 2$"),
        ("x.json", '{"a": [{"b": 1, "b": 2}]}', "the key 'b' is given twice$"),
    ],
)
def test_a_key_given_twice_is_an_error(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(BankwiseError, match=f"^plan '.*{name}': {words}"):
        read_file(tmp_path / name, "plan")


def test_a_merged_key_may_be_given_again(tmp_path):
    text = "base: &base {a: 1, b: 2}\nx: {deep: {y: &y {<<: *base, a: 3}}}\nz: {<<: *y, b: 4}\nw: [*y, *base]\n"
    (tmp_path / "x.yaml").write_text(text)
    base, y = {"a": 1, "b": 2}, {"a": 3, "b": 2}
    found = {"base": base, "x": {"deep": {"y": y}}, "z": {"a": 3, "b": 4}, "w": [y, base]}
    assert read_file(tmp_path / "x.yaml", "plan") == found == yaml.safe_load(text)


@given(st.recursive(st.none() | st.integers() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_yaml_without_a_key_twice_is_read_as_by_safe_load(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert read_file(path, "plan") == values


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BankwiseError, match="^recipe .* is not text$"):
        read_file(tmp_path / "x.yaml", "recipe")


def test_files_that_are_right(tmp_path):
    (tmp_path / "x.yaml").write_text("a: [1, 2.5, yes, null, text]\n1: é\n", encoding="utf-8")
    (tmp_path / "x.json").write_text('{\t"a": [1]}')
    (tmp_path / "empty.yaml").write_text("")
    assert read_file(tmp_path / "x.yaml", "plan") == {"a": [1, 2.5, True, None, "text"], "1": "é"}
    assert read_file(str(tmp_path / "x.json"), "plan") == {"a": [1]}
    assert read_file(tmp_path / "empty.yaml", "plan") is None


def test_plain_is_a_copy():
    values = {"a": [1, {"b": (2,)}]}
    copied = plain(values, "x")
    assert copied == {"a": [1, {"b": [2]}]} and copied["a"] is not values["a"]


@given(st.recursive(st.integers() | st.text() | st.floats(), lambda inner: st.lists(inner) | st.tuples(inner)))
def test_short_is_one_line(value):
    assert "\n" not in short(value) and len(short(value)) <= 200


@pytest.mark.parametrize("first", ["[x]", "{x: 1}"])
def test_aliases_that_stand_for_very_many_values_are_refused_at_once(tmp_path, first):
    """As lists, and merged into mappings, where PyYAML itself writes them out."""
    text = f"a: &a {first}\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True):
        nine = f"[{', '.join([f'*{before}'] * 9)}]"
        text += f"{name}: &{name} {nine if first == '[x]' else f'{{<<: {nine}}}'}\n"
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(BankwiseError, match="too many values: more than 1,000,000 with its aliases written out"):
        read_file(tmp_path / "x.yaml", "plan")
    (tmp_path / "x.yaml").write_text("a: &a [1, 2]\nb: [*a, *a]\nc: {<<: &m {x: 1}, y: 2}\nd: *m")
    assert read_file(tmp_path / "x.yaml", "plan") == {
        "a": [1, 2], "b": [[1, 2], [1, 2]], "c": {"x": 1, "y": 2}, "d": {"x": 1}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "it is not JSON"),
        (b"\xff", "it is not text"),
        (b"[" * 10**5, "nested too deep"),
        (b"[" * 100 + b"]" * 100, "nested too deep"),
        (b"9" * 5000, "it is not JSON"),
        (b"9" * 400, "a number of at most 150 digits"),
        (b'{"a": NaN}', "NaN is not a finite number"),
        (b'{"a": -Infinity}', "-Infinity is not a finite number"),
        (b'{"a": 1e999}', "it a: inf is not a finite number"),
        (b'{"a": 1, "a": 2}', "the key 'a' is given twice"),
        (b'"\\ud800"', "is not text"),
    ],
)
def test_texts_that_are_no_json_are_one_short_line(text, words):
    with pytest.raises(BankwiseError) as raised:
        parse_json(text, "it")
    assert words in str(raised.value) and "\n" not in str(raised.value) and len(str(raised.value)) < 500


def test_known_keys_are_read_as_strictly_and_others_are_left_alone():
    assert read_known(Outer, {"name": "a", "epochs": 3, "more": object()}, "outer") == Outer("a", 3)
    with pytest.raises(BankwiseError, match="outer epochs: 'x' is not a whole number"):
        read_known(Outer, {"name": "a", "epochs": "x", "more": 1}, "outer")
    with pytest.raises(BankwiseError, match="is not a mapping"):
        read_known(Outer, [1], "outer")
