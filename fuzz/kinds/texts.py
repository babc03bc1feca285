"""Plans, recipes and spaces: YAML and JSON that people write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from bankwise.cli.settings import make_recipe, make_space
from bankwise.inputs import traced
from bankwise.planning import price_plan
from bankwise.search_space.plan import Plan
from bankwise.trainers.recipe import Recipe
from fuzz.kinds.kind import Kind
from fuzz.mutate import as_json, damaged, spoiled, spoiled_text


class Texts(Kind):
    """Values written as JSON or YAML, one of them or a stretch of the text not as it should be."""

    def __init__(self, name: str, values: list[Any], reader: Callable[[Path], object]):
        self.name, self.values, self.reader = name, values, reader

    def write(self, place: Path, rng: Random) -> None:
        values, suffix, kind = rng.choice(self.values), rng.choice(("json", "yaml")), rng.randrange(4)
        if kind < 2:
            data = as_json(spoiled(values, rng))
        else:
            text = as_json(values) if suffix == "json" else yaml.safe_dump(values, sort_keys=False).encode()
            data = damaged(text, rng) if kind == 2 else spoiled_text(text, rng)
        (self.fresh(place) / f"file.{suffix}").write_bytes(data)

    def read(self, place: Path) -> None:
        (path,) = place.iterdir()
        self.reader(path)


def _plan(path: Path) -> None:
    """As `bankwise plan --plan-file` does."""
    plan = Plan.read(path)
    shape = traced(plan.network, None, None, plan.input_shape, plan.classes, plan.keep)
    price_plan(shape, plan, None, None).to_dict()


def plans(run: Path) -> Texts:
    values = [Plan.read(run / name).to_dict() for name in ("plan.yaml", "uniform.yaml")]
    return Texts("plans", values, _plan)


def recipes(run: Path) -> Texts:
    values = [Recipe().to_dict(), {"epochs": 3, "lr": 0.1}, {"optimizer": "sgd"}]
    return Texts("recipes", values, lambda path: make_recipe(path, Recipe(), {"seed": 1}))


def spaces(run: Path) -> Texts:
    full = {
        "hidden": ["stacked", "binary"],
        "first": "int8",
        "layers": {"0.*": "int4,int8"},
        "max_k": 16,
        "keep": ["6"],
    }
    values = [full | {"tiles": ["1x3", [3, 3]], "vector_bits": 16}, {"hidden": "stacked"}, {"tiles": "1x1,3x3"}]
    return Texts("spaces", values, lambda path: make_space(path, {"last": "int8"}))
