from __future__ import annotations

import json

import numpy as np
import pytest

from bankwise.search_space.plan import Plan

WANTED = {
    "network", "budget_bytes", "file_bytes", "paper_bits", "accuracy", "plan", "baseline_uniform", "uncompressed",
    "range", "staircase", "one_more", "layers", "fixed", "runs",
}  # fmt: skip


def test_the_json_holds_one_object_with_the_plan_within_the_budget(cli, tmp_path):
    outcome = cli.call("plan", "--budget", "1.5KiB", "--json", "--out", tmp_path / "plan.yaml")
    summary = outcome.json
    assert outcome.code == 0 and outcome.err == "" and summary.keys() >= WANTED
    assert summary["budget_bytes"] == 1536 >= summary["file_bytes"]
    assert summary["accuracy"] is None and summary["uncompressed"] == {"accuracy": None, "bytes": 133352}
    assert summary["baseline_uniform"]["bytes"] <= 1536 and summary["baseline_uniform"]["accuracy"] is None
    assert summary["capture"] >= summary["baseline_uniform"]["capture"]
    layers = sum(layer["file_bytes"] for layer in summary["layers"])
    assert layers + sum(summary["fixed"].values()) == summary["file_bytes"]
    assert all(sum(layer["parts"].values()) == layer["file_bytes"] for layer in summary["layers"])
    assert summary["plan"] == str(tmp_path / "plan.yaml")
    assert {name: choice.to_dict() for name, choice in Plan.read(summary["plan"]).layers.items()} == {
        layer["name"]: layer["choice"] for layer in summary["layers"]
    }


def test_a_plan_file_is_priced_as_it_is(cli, tmp_path):
    made = cli.call("plan", "--budget", "1200", "--json", "--out", tmp_path / "plan.json").json
    again = cli.call("plan", "--plan-file", tmp_path / "plan.json", "--json").json
    for key in ("file_bytes", "paper_bits", "layers", "fixed", "runs", "input_shape"):
        assert again[key] == made[key]
    assert again["budget_bytes"] is None and again["staircase"] is None
    priced = cli.call("plan", "--plan-file", tmp_path / "plan.json", "--budget", "1200", "--json").json
    assert priced["budget_bytes"] == 1200
    line = cli.bad("plan", "--plan-file", tmp_path / "plan.json", "--budget", "1100", code=3)
    assert f"{made['file_bytes']:,}" in line and "1,100" in line


def test_without_a_budget_the_range_and_the_staircase(cli):
    summary = cli.call("plan", "--network", "resnet20", "--data", "cifar10", "--json").json
    assert summary["budget_bytes"] is summary["file_bytes"] is summary["plan"] is None
    smallest, largest = (summary["range"][end]["file_bytes"] for end in ("smallest", "largest"))
    sizes = [step["file_bytes"] for step in summary["staircase"]]
    assert sizes[0] == smallest and sizes[-1] <= largest and len(sizes) == 12
    assert (np.diff(sizes) > 0).all() and (np.diff([step["capture"] for step in summary["staircase"]]) > 0).all()
    assert all(step["file_bytes"] <= step["budget_bytes"] for step in summary["staircase"])
    at_least = cli.call("plan", "--network", "resnet20", "--data", "cifar10", "--budget", smallest, "--json")
    assert at_least.json["file_bytes"] == smallest
    assert str(f"{smallest:,}") in cli.bad(
        "plan", "--network", "resnet20", "--data", "cifar10", "--budget", smallest - 1, code=3
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--network", "vgg16", "--data", "cifar10", "--budget", "0.3bpw"],
        ["--network", "resnet56", "--data", "cifar100", "--budget", "100x"],
        ["--network", "torchvision:resnet18", "--input", "3x224x224", "--classes", "1000", "--budget", "500KiB"],
    ],
)
def test_large_networks_are_priced(cli, arguments):
    outcome = cli.call("plan", *arguments)
    assert outcome.code == 0
    for words in ("reachable", "file accounting", "paper accounting", "split-transform-merge", "1 KiB more"):
        assert words in outcome.out


def test_limits_beside_the_bytes_are_kept(cli):
    free = cli.call("plan", "--budget", "4KiB", "--json").json["runs"]["merge"]
    operations = free["multiplications"] + free["additions"]
    limited = cli.call("plan", "--budget", "4KiB", "--max-ops", operations // 2, "--json").json
    merge = limited["runs"]["merge"]
    assert merge["multiplications"] + merge["additions"] <= operations // 2
    assert all(step["file_bytes"] <= step["budget_bytes"] for step in limited["staircase"])
    assert (
        cli.call("plan", "--budget", "4KiB", "--max-ram", "10KiB", "--json").json["runs"]["merge"]["peak_bytes"]
        <= 10240
    )
    assert "max-ram" in cli.bad("plan", "--budget", "4KiB", "--max-ram", "100B", code=3)
    assert "max-ops" in cli.bad("plan", "--budget", "4KiB", "--max-ops", "100", code=3)


def test_the_paper_accounting_bounds_banks_and_indices(cli):
    summary = cli.call("plan", "--budget", "500", "--accounting", "paper", "--json").json
    assert summary["paper_bits"] <= 8 * 500 < 8 * summary["file_bytes"]
    assert "500 bytes (paper accounting)" in cli.call("plan", "--budget", "500", "--accounting", "paper").out


def test_every_choice_of_a_layer_can_be_seen(cli):
    summary = cli.call("plan", "--choices", "6", "--json").json
    texts = [row["text"] for row in summary["choices"]["6"]]
    assert {"binary", "integer bits=4", "integer bits=8"} < set(texts)
    sizes = [row["file_bytes"] for row in summary["choices"]["6"]]
    assert sizes == sorted(sizes)
    assert "choices of 6" in cli.call("plan", "--choices", "6").out


def test_the_space_is_set_by_file_and_option(cli, tmp_path):
    (tmp_path / "space.yaml").write_text("hidden: [binary]\nlayers: {'2.*': [float16]}\nmax_k: 8\nvector_bits: 16\n")
    summary = cli.call(
        "plan", "--budget", "1MiB", "--space", tmp_path / "space.yaml", "--last", "int8,int2", "--json"
    ).json
    assert [layer["text"] for layer in summary["layers"]] == [
        "integer bits=8", "binary", "float bits=16", "binary", "integer bits=8"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("k", 4096, ["2.0", "k=4096", "allowed"]),
        ("s", 3, ["2.0", "s=3", "32 channels", "1, 2, 4, 8, 16, 32"]),
        ("tile", "2x2", ["2.0", "2x2", "3x3"]),
        ("k", "many", ["2.0", "many"]),
        ("bank", 4, ["2.0", "bank"]),
        ("family", "stackd", ["2.0", "stackd", "stacked"]),
    ],
)
def test_a_wrong_choice_of_a_plan_names_layer_key_and_value(cli, tmp_path, key, value, words):
    plan = cli.call("plan", "--budget", "1200", "--out", tmp_path / "plan.json")
    assert plan.code == 0
    values = json.loads((tmp_path / "plan.json").read_text())
    values["layers"]["2.0"] = {"family": "stacked", "k": 8, "s": 4, "tile": "3x3", key: value}
    (tmp_path / "plan.json").write_text(json.dumps(values))
    line = cli.bad("plan", "--plan-file", tmp_path / "plan.json")
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "vgg61"], ["vgg61", "vgg16"]),
        (["--network", "torchvision:resnet81", "--input", "3x64x64"], ["resnet81", "resnet18"]),
        (["--network", "no_such_module:net"], ["no_such_module"]),
        (["--data", "digit"], ["digit", "digits"]),
        (["--input", "8x8"], ["8x8", "3x224x224"]),
        (["--network", "torchvision:resnet18", "--data", "digits"], ["3 input channels", "1"]),
        (["--budget", "2 kilo"], ["2 kilo", "96KiB"]),
        (["--budget", "0"], ["zero"]),
        (["--budget", "1KiB", "--accounting", "files"], ["files", "file, paper"]),
        (["--max-ops", "lots"], ["lots", "--max-ops"]),
        (["--hidden", "stackd"], ["stackd", "stacked"]),
        (["--vector-bits", "7"], ["vector_bits", "7", "8, 16, 32"]),
        (["--vectors", "v8,v5"], ["storage of vectors 'v5'", "v8"]),
        (["--keep", "nothing.*"], ["nothing.*"]),
        (["--choices", "7"], ["'7'", "6"]),
        (["--plan-file", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--out", "plan.yaml"], ["--budget"]),
        (["--budget", "1KiB", "--out", "/proc/plan.yaml"], ["/proc/plan.yaml"]),
        (["--limit", "-1"], ["limit=-1", "at least 1"]),
        (["--validation", "nan"], ["validation share nan", "between 0 and 1"]),
        (["--normalization", "imagnet"], ["normalization 'imagnet'", "imagenet"]),
        (["--imagenet"], ["normalization imagenet", "1 channel(s), not 3"]),
        (["--imagenet", "--normalization", "symmetric"], ["--imagenet contradicts"]),
        (["--data", "digit", "--input", "1x8x8", "--classes", "3"], ["digit", "digits"]),
        (["--data", "digits", "--image-size", "8", "--input", "1x8x8", "--classes", "3"], ["image size 8", "resized"]),
        (["--budget", "1KiB", "--out", ""], ["cannot write '.'", "no file name"]),
        (["--budget", "1KiB", "--network", "vgg16"], ["1,024", "at least", "largest layers"]),
    ],
)
def test_bad_input_is_one_line_that_says_what_would_be_right(cli, arguments, words):
    infeasible = "vgg16" in arguments
    line = cli.bad("plan", *arguments, code=3 if infeasible else 2)
    assert all(word in line for word in words), line


def test_ways_of_storing_vectors_are_offered_as_asked(cli):
    for ways, ends in (("s4", {"s4"}), ("v8", {""}), ("p4,v16", {"p4", "v16"})):
        found = cli.call("plan", "--budget", "1400", "--vectors", ways, "--json").json
        layers = found["price"]["layers"] if "price" in found else found["layers"]
        assert {layer["choice"].get("vectors", "") for layer in layers} <= ends


def test_a_plan_for_another_network_is_an_error(cli, tmp_path):
    assert cli.call("plan", "--budget", "1200", "--out", tmp_path / "plan.yaml").code == 0
    line = cli.bad("plan", "--plan-file", tmp_path / "plan.yaml", "--network", "small")
    assert "'tiny'" in line and "'small'" in line
    line = cli.bad("plan", "--plan-file", tmp_path / "plan.yaml", "--data", "mnist")
    assert "(1, 8, 8)" in line and "(1, 28, 28)" in line


def test_a_width_is_part_of_the_networks_name(cli, tmp_path):
    summary = {}
    for network in ("resnet20", "resnet20@0.5"):
        plan = tmp_path / f"{network}.yaml"
        summary[network] = cli.call("plan", "--network", network, "--data", "cifar10", "--budget", "30x", "--out", plan,
                                 "--json").json  # fmt: skip
        assert Plan.read(plan).network == summary[network]["network"] == network
        again = cli.call("plan", "--plan-file", plan, "--json").json
        assert again["file_bytes"] == summary[network]["file_bytes"]
    assert summary["resnet20@0.5"]["uncompressed"]["bytes"] < 0.27 * summary["resnet20"]["uncompressed"]["bytes"]


@pytest.mark.parametrize("kind", ["tiled", "subbit"])
def test_the_baselines_are_kinds_of_layers(cli, tmp_path, kind):
    summary = cli.call("plan", "--hidden", kind, "--first", "int8", "--last", "int8", "--budget", "2600", "--json",
                    "--out", tmp_path / "plan.yaml").json  # fmt: skip
    assert summary["file_bytes"] <= 2600 and summary["baseline_uniform"]["bytes"] <= 2600
    assert {layer["choice"]["family"] for layer in summary["layers"][1:-1]} == {kind}


@pytest.mark.parametrize(
    "option",
    [("--max-ops", "10"), ("--max-ram", "1B"), ("--choices", "1.0"), ("--keep", "0"), ("--hidden", "binary"),
     ("--vector-bits", "32"), ("--space", "space.yaml")],
)  # fmt: skip
def test_what_finds_a_plan_is_not_ignored_where_one_is_given(cli, option, tmp_path):
    assert f"{option[0]} is for finding a plan" in cli.bad("plan", "--plan-file", tmp_path / "plan.yaml", *option)


def test_a_network_without_a_name_is_none(cli):
    assert "unknown network ''" in cli.bad("plan", "--network", "")
