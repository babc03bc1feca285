"""The tabular benchmark: rows survive a kill, the table answers for what it holds, fits find what was put in."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.special import expit, logit

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies import make_strategy
from bankwise.strategies.learned import LEARNED, Constants
from bankwise.strategies.scores import total, weighted_capture
from results.bench import make, setting, table
from results.bench.draw import draw, origin, seeds
from results.bench.fit import BEFORE, fit, groups
from results.bench.page import write_between
from results.bench.setting import SETTINGS
from results.bench.simulate import courses
from results.bench.surrogate import Surrogate, usable
from results.bench.table import Table, pack, read_rows

NAME = "digits-800-families"
SPACE = SETTINGS[NAME].space


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A setting of one epoch, whose table lies in the temporary folder."""
    one = dataclasses.replace(SETTINGS["digits-500"], name="small", images=200, teacher_epochs=1)
    one = dataclasses.replace(one, recipe=dataclasses.replace(one.recipe, epochs=1))
    monkeypatch.setitem(setting.SETTINGS, "small", one)
    monkeypatch.setattr(table, "HERE", tmp_path)
    return one


def made_up(plans: list[tuple[int, ...]], accuracies: list[float | None], seeds: list[int] | None = None) -> list[dict]:
    """Rows of plans of NAME."""
    rows, numbers = [], {}
    for i, (plan, accuracy) in enumerate(zip(plans, accuracies, strict=True)):
        number = numbers.setdefault(plan, len(numbers))
        codes = [choice.code() for choice in SPACE.plan(plan).layers.values()]
        rows.append({
            "number": number, "origin": origin(number), "plan": codes, "seed": seeds[i] if seeds else 0,
            "accuracy": accuracy, "seconds": 1.0, "code": "test",
        })  # fmt: skip
    return rows


def made_up_table(monkeypatch, tmp_path, *rows) -> Table:
    monkeypatch.setattr(table, "HERE", tmp_path)
    pack(SETTINGS[NAME], made_up(*rows), table.table_path(NAME))
    return Table.read(NAME)


def drawn(count: int) -> list[tuple[int, ...]]:
    known: set[tuple[int, ...]] = set()
    for number in range(count):
        known.add(draw(SPACE, number, known))
    return sorted(known)


def test_plans_that_are_drawn_fit_are_new_and_half_of_them_near_the_closed_form():
    known: set[tuple[int, ...]] = set()
    scores, values = weighted_capture(SPACE), {"random": [], "near": []}
    for number in range(60):
        plan = draw(SPACE, number, known)
        assert SPACE.fits(plan) and plan not in known and plan == draw(SPACE, number, known)
        known.add(plan)
        values[origin(number)].append(total(scores, plan))
    assert len(values["near"]) == 30 and np.median(values["near"]) > np.max(values["random"])
    assert {len(seeds(number)) for number in range(60)} == {1, 3}


def test_a_setting_that_was_stopped_goes_on_where_it_was(small, tmp_path):
    def run(folder, *steps: int) -> list[dict]:
        folder.mkdir()
        for count in steps:
            making = make.Making(small, None, folder, "test")
            for _ in range(count):
                assert making.step()
            making.pack()
        return [{key: row[key] for key in row if key != "seconds"} for row in read_rows(folder / "small.jsonl")]

    whole, resumed = run(tmp_path / "whole", 4), run(tmp_path / "resumed", 1, 3)
    assert whole == resumed and [row["seed"] for row in whole] == [0, 1, 2, 0]
    found = Table.read("small")
    assert found.accuracy(whole[1]["plan"], seed=1) == whole[1]["accuracy"]
    plan = small.space.plan(found.indices()[0])
    assert found.accuracy(plan, 2) == whole[2]["accuracy"] and found.setting["images"] == 200


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"number": 0}\n{"number": 1}\n{"numb')
    assert [row["number"] for row in read_rows(path)] == [0, 1]
    with path.open("a") as file:
        file.write(json.dumps({"number": 2}) + "\n")
    assert [row["number"] for row in read_rows(path)] == [0, 1, 2]
    assert read_rows(tmp_path / "none.jsonl") == []


def test_the_table_answers_for_what_it_holds(monkeypatch, tmp_path):
    plans = drawn(3)
    rows = [plans[0], plans[0], plans[0], plans[1], plans[2]], [0.7, 0.8, 0.6, 0.9, None], [0, 1, 2, 0, 0]
    found = made_up_table(monkeypatch, tmp_path, *rows)
    assert found.accuracy(SPACE.plan(plans[0]), seed=1) == 0.8
    assert found.mean[:2] == pytest.approx([0.7, 0.9]) and np.isnan(found.mean[2])
    assert found.noise == pytest.approx(0.1) and found.repeated[1].tolist() == [0]
    assert found.without_seed(1)[0] == pytest.approx(0.65)
    assert [tuple(map(int, row)) for row in found.indices()] == plans
    kept, accuracies, _ = usable(found)
    assert [tuple(map(int, row)) for row in kept] == plans[:2] and accuracies == pytest.approx([0.7, 0.9])
    with pytest.raises(BankwiseError, match="no seed 5, only"):
        found.accuracy(SPACE.plan(plans[0]), seed=5)
    with pytest.raises(BankwiseError, match="has no plan .*the surrogate answers"):
        found.accuracy(SPACE.plan(drawn(4)[-1]) if drawn(4)[-1] not in plans else ["B"] * 5)
    with pytest.raises(BankwiseError, match="did you mean digits-500"):
        Table.read("digit-500")
    with pytest.raises(BankwiseError, match="not made yet: python results/bench/make.py mnist-400"):
        Table.read("mnist-400")


def world(constants: Constants, plans: list[tuple[int, ...]]) -> list[float]:
    scores = weighted_capture(SPACE, constants)
    best = total(scores, SPACE.solve(scores))
    return [float(expit(2 + 0.3 * (total(scores, plan) - best))) for plan in plans]


def test_the_fit_finds_the_constants_of_a_world_that_is_so(monkeypatch, tmp_path):
    truth = Constants(weights=0.2, depth=0.4, split=-0.2, families={"tiled": 0.3})
    plans = drawn(240)
    made = groups(made_up_table(monkeypatch, tmp_path, plans, world(truth, plans)))
    values = logit(world(truth, plans))

    def missed(constants: Constants) -> float:
        scores = weighted_capture(SPACE, constants)
        return 1 - float(np.corrcoef([total(scores, plan) for plan in plans], values)[0, 1])

    assert missed(fit(made, pull=0.02)) < missed(Constants()) / 4
    assert missed(fit(made, pull=100.0)) == pytest.approx(missed(BEFORE), rel=0.05)


def test_the_surrogate_predicts_plans_that_it_has_not_seen(monkeypatch, tmp_path):
    truth, plans = Constants(weights=0.2, families={"tiled": 0.3}), drawn(150)
    values = np.array(world(truth, plans))
    seen = np.arange(len(plans)) % 5 > 0
    surrogate = Surrogate(SPACE, np.array(plans)[seen], values[seen])
    left = values[~seen]
    error = np.sqrt(np.mean((surrogate.predict(np.array(plans)[~seen]) - left) ** 2))
    assert error < left.std() / 3


def test_a_simulated_search_holds_the_plan_that_its_strategy_holds():
    plans = drawn(60)
    surrogate = Surrogate(SPACE, np.array(plans), np.array(world(Constants(), plans)))
    held = courses(lambda space, seed: make_strategy("random", space, seed), surrogate, 0.0, 12, 3)
    assert held.shape == (3, 12) and (np.diff(held, axis=1) >= 0).all(), "without noise the best only rises"
    one = courses(lambda space, seed: make_strategy("rate", space, seed), surrogate, 0.0, 4, 2)
    rate = SPACE.indices(make_strategy("rate", SPACE).ask())
    assert one == pytest.approx(float(surrogate.predict(rate)[0])), "a strategy of one plan keeps it"


def test_the_constants_that_are_shipped_are_those_of_the_tables_that_are_shipped():
    """Otherwise: python results/bench/fit.py says what belongs into strategies/learned.py."""
    tables = [Table.read(name) for name in SETTINGS if table.table_path(name).exists()]
    found = fit([group for one in tables for group in groups(one)])
    for name in ("weights", "positions", "depth", "first", "last", "split", "bank", "dimension"):
        assert getattr(found, name) == pytest.approx(getattr(LEARNED, name), abs=0.01)
    assert found.families == pytest.approx(LEARNED.families, abs=0.01) and max(LEARNED.families.values()) == 0


def test_a_table_is_written_where_the_page_names_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one -->\nold\n<!-- end of one -->\nb\n<!-- two -->\n<!-- end of two -->\n")
    for text in ("first", "| x |\n"):
        write_between(page, "one", text)
    lines = ["a", "<!-- one -->", "", "| x |", "", "<!-- end of one -->", "b", "<!-- two -->", "<!-- end of two -->"]
    assert page.read_text().splitlines() == lines
    with pytest.raises(BankwiseError, match="page.md has no place for 'three'"):
        write_between(page, "three", "text")
