from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from bankwise import plan
from bankwise.cli.names import folded
from bankwise.cli.plan_tables import print_report
from bankwise.plan_report import choice_prices


def shown(report, wide=False, layer=None) -> list[str]:
    out = io.StringIO()
    choices = {} if layer is None else {layer: choice_prices(report.space, layer)}
    print_report(report, None, choices, Console(file=out, width=80), wide)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("network", "budget"), [("resnet20", "16KiB"), ("torchvision:densenet121", "1MiB"), ("vgg16", None)]
)
def test_in_80_columns_nothing_is_cut_and_every_choice_is_there(network, budget):
    report = plan(network, budget, input_shape=(3, 64, 64), classes=10)
    lines = shown(report, layer=report.shape.layers[-1].name)
    assert all(len(line) <= 80 for line in lines) and not any("…" in line for line in lines)
    begin = lines.index("plan" if budget else "layers") + 2
    rows = [line.split() for line in lines[begin:] if not line.startswith(" ")][: len(report.shape.layers)]
    for row, layer in zip(rows, report.shape.layers, strict=True):
        sizes = "x".join(map(str, layer.weight_shape))
        if budget:
            cost = next(one for one in report.price.layers if one.name == layer.name)
            assert row[1:4] == [sizes, cost.choice.code(), f"{cost.file_bytes:,}"]
        else:
            assert row[1:4] == [layer.kind, sizes, f"{layer.weights:,}"]
    for row in choice_prices(report.space, report.shape.layers[-1].name):
        assert any(line.split()[:1] == [row.choice.code()] for line in lines)


def test_every_short_code_is_explained_by_one_of_its_family():
    lines = shown(plan("tiny", "2KiB"))
    assert "I4v4 is integer bits=4 vectors=v4" in lines and any(" is stacked k=" in line for line in lines)


def test_wide_is_as_wide_as_it_must_be():
    lines = shown(plan("tiny", "2KiB"), wide=True)
    wide = [line for line in lines if "integer bits=4 vectors=v4" in line]
    assert any("levels 72, norm.scale 8," in line and "header 3" in line for line in wide)
    assert max(map(len, lines)) > 80 and not any("…" in line for line in lines)


def test_a_name_is_whole_again_when_its_lines_and_the_row_above_are_joined():
    names = ["features.conv0", "features.block1.layer1.conv1", "features.block1.layer1.conv2", "classifier", "a" * 40]
    made = folded(names, room=16)
    assert all(len(line) <= 17 for name in made for line in name.split("\n"))
    above: list[str] = []
    for name, short in zip(names, made, strict=True):
        own = short.replace("\n ", "").split(".")
        above = [before if one == "·" else one for one, before in zip(own, above + [""] * len(own), strict=False)]
        assert ".".join(above) == name
    assert folded(names[:1], room=16) == names[:1]


def test_csv_holds_the_plan_the_staircase_or_the_choices(cli):
    def rows(*arguments):
        return list(csv.DictReader(io.StringIO(cli.call("plan", *arguments, "--csv").out)))

    summary = cli.call("plan", "--budget", "2KiB", "--json").json
    found = rows("--budget", "2KiB")
    assert [row["text"] for row in found if row["choice"]] == [layer["text"] for layer in summary["layers"]]
    assert sum(int(row["file_bytes"]) for row in found) == summary["file_bytes"]
    staircase = cli.call("plan", "--json").json["staircase"]
    assert [int(row["budget_bytes"]) for row in rows()] == [step["budget_bytes"] for step in staircase]
    choices = cli.call("plan", "--choices", "6", "--json").json["choices"]["6"]
    assert [row["text"] for row in rows("--choices", "6")] == [row["text"] for row in choices]


def test_one_form_is_asked_for(cli):
    assert "--wide and --csv" in cli.bad("plan", "--wide", "--csv") and "--csv and --json" in cli.bad(
        "plan", "--csv", "--json"
    )
