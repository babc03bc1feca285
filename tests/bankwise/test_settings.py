from __future__ import annotations

import pytest

from bankwise.cli import settings
from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.presets import PRESETS
from bankwise.trainers.recipe import Recipe


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
        ("layers: {a: 4}", ["layers.a", "4"]),
        ("vector_bits: 12", ["vector_bits", "12"]),
        ("[1, 2]", ["mapping"]),
        ("a: [", ["not YAML"]),
        ("max_k: 4\nmax_k: 8", ["max_k", "twice", "line 2"]),
    ],
)
def test_a_wrong_space_file_names_key_and_value(tmp_path, text, words):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(BankwiseError) as caught:
        settings.make_space(file, {})
    assert all(word in str(caught.value) for word in [*words, str(file)]), caught.value
    assert "\n" not in str(caught.value)


def test_a_recipe_is_default_then_file_then_option(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("epochs: 7\nlr: 0.5\noptimizer: sgd\n")
    recipe = settings.make_recipe(file, Recipe(batch=11), {"lr": 0.25, "epochs": None})
    assert recipe == Recipe(batch=11, epochs=7, lr=0.25, optimizer="sgd")
    file.write_text("epoch: 7\n")
    with pytest.raises(BankwiseError, match="epochs"):
        settings.make_recipe(file, Recipe(), {})


def test_a_preset_is_named_as_a_file_is(tmp_path, monkeypatch):
    fast = settings.make_recipe("fast", Recipe(epochs=40), {"lr": 0.25})
    assert fast == Recipe.from_dict(PRESETS["fast"] | {"lr": 0.25}) and fast.epochs < 40
    assert settings.make_recipe("full", Recipe(epochs=3), {}).epochs == 40
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BankwiseError, match="unknown recipe 'fsat': did you mean fast.*a YAML file"):
        settings.make_recipe("fsat", Recipe(), {})
    (tmp_path / "mine").write_text("epochs: 7\n")
    assert settings.make_recipe("mine", Recipe(), {}).epochs == 7
    with pytest.raises(BankwiseError, match="recipe.yaml"):
        settings.make_recipe("recipe.yaml", Recipe(), {})


def test_whole_numbers_with_units():
    assert settings.size("--max-ram", "64KiB") == 65536 and settings.size("--max-ram", "1.5 kb") == 1500
    assert settings.count("--max-ops", "5M") == 5_000_000 and settings.count("--max-ops", "17") == 17
    assert settings.size("--max-ram", None) is None and settings.count("--max-ops", None) is None
    for text in ("", "0", "-3", "5KiB", "0.1", "nan", "1e"):
        with pytest.raises(BankwiseError, match="--max-ops"):
            settings.count("--max-ops", text)
