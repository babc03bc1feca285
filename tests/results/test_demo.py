"""The table of the twenty searches: outcomes counted as they are."""

from __future__ import annotations

from pathlib import Path

import pytest


def result(plan: list[float], uniform: list[float], found_by: str = "evolution") -> dict:
    return {
        "accuracy": sum(plan) / len(plan), "found_by": found_by, "file_bytes": 890, "uniform_bytes": 880,
        "plan": [plan, [0.9, 0.92]], "uniform": [uniform, [0.9, 0.9]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "uniform", "found_by", "outcome"),
    [
        ([0.96, 0.98], [0.94, 0.95], "evolution", "ahead"),
        ([0.94, 0.95], [0.96, 0.98], "evolution", "behind"),
        ([0.96, 0.98], [0.95, 0.97], "evolution", "within the spread"),
        ([0.97, 0.97], [0.90, 0.99], "evolution", "within the spread"),
        ([0.97, 0.97], [0.97, 0.97], "uniform", "the same plan"),
    ],
)
def test_outcomes(plan, uniform, found_by, outcome):
    from results.bench.demo import ahead

    assert ahead(result(plan, uniform, found_by)) == outcome


def test_every_seed_has_a_row_and_outcomes_add_up():
    from results.bench.demo import table

    lines = table({0: result([0.96, 0.98], [0.94, 0.95]), 1: result([0.9, 0.9], [0.9, 0.9], "uniform")}).splitlines()
    assert (
        lines[2] == "| 0 | evolution | 890 | 97.00 ± 1.41 | 91.00 ± 1.41 | 880 | 94.50 ± 0.71 | 90.00 ± 0.00 | ahead |"
    )
    assert lines[3].endswith("| the same plan |") and len(lines) == 6
    assert lines[5] == (
        "Of 2: ahead 1, the same plan 1, within the spread 0, behind 0. "
        "Mean lead, validation and test: +1.25 ± 1.77 and +1.00 ± 0.00 points."
    )


def test_it_is_the_search_of_the_makefile():
    from bankwise.searching import SearchSettings
    from results.bench.demo import SETTINGS, TASKS

    network, data, budget = TASKS["demo"]
    said = f"SEARCH = --network {network} --data {data} --budget {budget} --strategy {SETTINGS.strategy}"
    said += f" --finalists {SETTINGS.finalists} --seeds {SETTINGS.seeds}"
    assert said in (Path(__file__).resolve().parents[2] / "Makefile").read_text().splitlines()
    assert SETTINGS == SearchSettings(strategy=SETTINGS.strategy, finalists=SETTINGS.finalists, seeds=SETTINGS.seeds)
