"""What lies in results/ is of this commit: each plan there is priced as it is now, and still what its study chooses."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path

import pytest

from bankwise.search_space.budget import Budget
from bankwise.search_space.networks import IN_MEMORY
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace, SpaceSettings
from bankwise.search_space.trace import shape_of, trace
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.learned import LEARNED
from bankwise.strategies.scores import weighted_capture
from examples.detector import CLASSES, INPUT, detector
from results.detection import study as detection
from results.vectors import depthwise
from results.vectors import study as vectors

ROOT = Path(__file__).resolve().parents[2] / "results"
FILES = sorted(path for path in ROOT.rglob("*.json") if '"plan": {' in path.read_text())

traced = lru_cache(maxsize=64)(shape_of)


def stored(values: object) -> Iterator[dict]:
    """What has a plan and the bytes of its file."""
    if isinstance(values, dict):
        if isinstance(values.get("plan"), dict):
            yield values
        for value in values.values():
            yield from stored(value)
    elif isinstance(values, list):
        for value in values:
            yield from stored(value)


def shape_of_plan(plan: Plan, one: dict) -> NetworkShape:
    if plan.network == IN_MEMORY:
        return trace(detector(one["width"]), IN_MEMORY, INPUT, CLASSES, any_output=True)
    return traced(plan.network, plan.input_shape, plan.classes, plan.keep)


def closed_form(shape: NetworkShape, budget: int, settings: SpaceSettings) -> Plan:
    space = BudgetedSpace(SearchSpace(shape, settings.within(budget, shape)), Budget(budget))
    return space.plan(space.solve(weighted_capture(space)))


def test_there_are_some():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} >= {"ablations", "detection", "records", "vectors"}


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_stored_plan_takes_the_bytes_that_were_measured(file):
    for one in stored(json.loads(file.read_text())):
        plan = Plan.from_dict(one["plan"])
        sizes = {one["file_bytes"]} if "file_bytes" in one else {seed["bytes"] for seed in one["seeds"]}
        assert sizes == {price(shape_of_plan(plan, one), plan).file_bytes}, plan.text


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_the_plans_of_the_records_are_the_closed_forms_of_now(name):
    rows = json.loads((ROOT / "records" / name / "results.json").read_text())["rows"]
    for size, one in rows.items():
        plan = Plan.from_dict(one["plan"])
        assert closed_form(shape_of_plan(plan, one), int(size), SpaceSettings()).codes == plan.codes


def test_the_plans_of_the_ways_to_store_vectors_are_those_of_now():
    found = json.loads((ROOT / "vectors" / "results.json").read_text())
    for setting, budget, (way, names) in product(vectors.SETTINGS, vectors.BUDGETS, vectors.WAYS.items()):
        plan = Plan.from_dict(found[vectors.name_of(setting, budget, way, 0)]["plan"])
        own = closed_form(shape_of_plan(plan, {}), budget, SpaceSettings(vectors=names))
        assert own.codes == plan.codes, (setting, budget, way)


def test_what_is_known_of_depthwise_layers_is_what_their_trainings_ask_for():
    found = json.loads((ROOT / "vectors" / "depthwise.json").read_text())
    for setting in depthwise.SETTINGS:
        for label, plan in depthwise.plans(setting.data).items():
            assert all(Plan.from_dict(one["plan"]) == plan for one in found[f"{setting.data}: {label}"]), label
    asked = [one for setting in depthwise.SETTINGS for one in depthwise.shared(found, setting.data)]
    assert len(asked) == 8 and LEARNED.shared_depthwise == pytest.approx(statistics.fmean(asked), abs=0.01)


@pytest.mark.parametrize("kib", detection.BUDGETS)
def test_the_detectors_plans_are_those_of_now(kib):
    rows = json.loads((ROOT / "detection" / "results.json").read_text())
    for method in detection.BUDGETS[kib]:
        one = next(row for row in rows if (row["method"], row.get("budget")) == (method, 1024 * kib))
        width, plan = detection.planned(method, kib)
        assert (width, plan.codes) == (one["width"], Plan.from_dict(one["plan"]).codes)
