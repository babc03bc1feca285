from __future__ import annotations

import pytest

from bankwise.cli import settings
from search_space.errors import BankwiseError
from trainers.recipe import Recipe


def test_a_space_file_is_read_and_options_override_it(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("hidden: stacked\ntiles: [3x3, 1x3]\nkeep: [a, b]\nmax_k: 16\nlayers:\n  '4.*': [binary]\n")
    space = settings.make_space(file, {"keep": ["c"], "first": "int8, float16", "last": None})
    assert space.hidden == ("stacked",) and space.tiles == ((3, 3), (1, 3)) and space.keep == ("c",)
    assert space.first == ("int8", "float16") and space.max_k == 16 and space.layers == {"4.*": ("binary",)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hiden: [binary]", ["hiden", "hidden"]),
        ("hidden: [binry]", ["binry", "binary"]),
        ("hidden: 3", ["hidden", "3"]),
        ("hidden: []", ["at least one kind"]),
        ("max_k: 1", ["max_k", "1"]),
        ("max_k: many", ["max_k", "many"]),
        ("tiles: [3by3]", ["tiles", "3by3", "3x3"]),
        ("layers: [binary]", ["layers", "mapping"]),
        ("layers: {a: 4}", ["layers: a", "4"]),
        ("vector_bits: 12", ["vector_bits", "12"]),
        ("[1, 2]", ["mapping"]),
        ("a: [", ["not YAML"]),
    ],
)
def test_a_wrong_space_file_names_key_and_value(tmp_path, text, words):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(BankwiseError) as caught:
        settings.make_space(file, {})
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value), caught.value


def test_a_recipe_is_default_then_file_then_option(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("epochs: 7\nlr: 0.5\noptimizer: sgd\n")
    recipe = settings.make_recipe(file, Recipe(batch=11), {"lr": 0.25, "epochs": None})
    assert recipe == Recipe(batch=11, epochs=7, lr=0.25, optimizer="sgd")
    file.write_text("epoch: 7\n")
    with pytest.raises(BankwiseError, match="epochs"):
        settings.make_recipe(file, Recipe(), {})


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [("64KiB", settings.SIZES, 65536), ("1.5 kb", settings.SIZES, 1500), ("5M", settings.COUNTS, 5_000_000),
     ("17", settings.COUNTS, 17), (None, settings.SIZES, None)],
)  # fmt: skip
def test_whole_numbers_with_units(text, units, value):
    assert settings.whole("--limit", text, units) == value


@pytest.mark.parametrize("text", ["", "0", "-3", "5KiB", "0.1", "nan", "1e9"])
def test_what_is_no_count_is_an_error(text):
    with pytest.raises(BankwiseError, match="--max-ops"):
        settings.whole("--max-ops", text, settings.COUNTS)
