"""show, list, and evaluate and report of folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import bankwise
from bankwise.search_space.targets.file.container import read


@pytest.fixture(scope="module")
def converted(cli, finished, tmp_path_factory) -> Path:
    """The folder of a conversion; not to be written to."""
    out = tmp_path_factory.mktemp("converted") / "c"
    done = cli.call("convert", "--checkpoint", finished[0], "--data", "digits", "--budget", "5bpw", "--out", out)
    assert done.code == 0, done.err
    return out


def test_a_run_tells_network_images_versions_and_bytes(cli, finished):
    folder, outcome = finished
    found = cli.call("show", folder, "--json").json
    assert (found["kind"], found["network"], found["input_shape"], found["classes"]) == ("run", "tiny", [1, 8, 8], 10)
    assert found["class_names"] == [str(digit) for digit in range(10)] and found["normalization"] == "symmetric"
    assert found["format"] == "bankwise 3"
    assert found["made"]["bankwise"] == bankwise.__version__ and found["made"]["torch"] == torch.__version__
    assert sum(found["parts"].values()) == found["file_bytes"] == outcome.json["file_bytes"]
    text = cli.call("show", folder).out
    assert all(words in text for words in ("classes: 0, 1, 2", "normalization symmetric", "torch ", "bank"))
    assert max(map(len, text.splitlines()[4:])) <= 80


def test_a_file_alone_tells_the_digest_of_its_classes_and_where_its_parts_lie(cli, finished, tmp_path):
    path = tmp_path / "alone.bankwise"
    shutil.copy(finished[0] / "model.bankwise", path)
    found, file = cli.call("show", path, "--json").json, read(path)
    assert found["kind"] == "file" and found["class_names"] is None and found["made"] is None
    assert found["class_digest"] == file.images.digest and found["class_digest"] in cli.call("show", path).out
    last = found["layout"][-1]
    bits = torch.Size(last["shape"]).numel() * last["bits"]
    assert found["payload_begins"] + last["offset"] + -(-bits // 8) == file.size
    assert [layer["choice"] for layer in found["layers"]] == [one.code() for one in file.plan.layers.values()]


def test_a_plan_and_a_conversion_are_shown(cli, finished, converted):
    run, plan = (cli.call("show", finished[0] / name, "--json").json for name in (".", "plan.yaml"))
    assert plan["kind"] == "plan" and all(plan[key] == run[key] for key in ("layers", "parts", "class_names"))
    told = cli.call("show", finished[0] / "plan.yaml")
    assert told.code == 0 and f"plan.yaml: {plan['file_bytes']:,} bytes\n" in told.out, told.err
    assert told.out.splitlines()[1:4] == cli.call("show", finished[0]).out.splitlines()[1:4]
    shown = cli.call("show", converted, "--json").json
    assert shown["kind"] == "conversion" and shown["file_bytes"] == (converted / "model.bankwise").stat().st_size


@pytest.mark.parametrize("command", ["show", "evaluate", "report", "export"])
def test_the_folder_of_several_runs_is_named_as_such(cli, copied, command):
    (copied.parent / "400B").mkdir()
    (copied.parent / "400B" / "settings.json").write_text("{}")
    target = ("--target", "onnx") if command == "export" else ()
    assert f"it is the folder of 400B, {copied.name}: name what is in it" in cli.bad(command, copied.parent, *target)
    assert "repeat its command to finish it" in cli.bad(command, copied.parent / "400B", *target)


def test_what_cannot_be_shown_is_one_line(cli, tmp_path):
    assert "holds no model.bankwise" in cli.bad("show", tmp_path)
    assert "no.bankwise" in cli.bad("show", tmp_path / "no.bankwise")
    (tmp_path / "plan.yaml").write_text("layers: 3")
    assert "plan.yaml" in cli.bad("show", tmp_path / "plan.yaml")


def test_the_runs_of_a_folder_are_listed(cli, finished, converted, tmp_path):
    shutil.copytree(finished[0], tmp_path / "a" / "run")
    shutil.copytree(converted, tmp_path / "c")
    shutil.copytree(finished[0], tmp_path / "b")
    (tmp_path / "b" / "summary.json").unlink()
    found = {one["run"]: one for one in cli.call("list", tmp_path, "--json").json["runs"]}
    assert {name: (one["what"], one["state"]) for name, one in found.items()} == {
        "a/run": ("search", "finished"), "b": ("search", "not finished"), "c": ("conversion", "finished")
    }  # fmt: skip
    assert found["a/run"]["test_accuracy"] == finished[1].json["test_accuracy"]
    assert found["b"]["file_bytes"] is None and found["b"]["budget"] == "1200"
    assert "a/run" in cli.call("list", tmp_path).out and "no runs" in cli.call("list", tmp_path / "a/run/plots").out
    assert "is not a folder" in cli.bad("list", tmp_path / "none")


def test_a_run_is_evaluated_on_the_images_that_it_recorded(cli, finished):
    folder, outcome = finished
    best = max(range(2), key=lambda seed: outcome.json["accuracies"][seed])
    for split, key in (("test", "test_accuracies"), ("validation", "accuracies")):
        found = cli.call("evaluate", folder, "--split", split, "--json").json
        assert found["accuracy"] == pytest.approx(outcome.json[key][best])
        assert found["model"] == str(folder / "model.bankwise")
    assert cli.call("evaluate", folder, "--json").json == cli.call("evaluate", folder / "model.bankwise", "--json").json


def test_a_conversion_is_evaluated_and_has_a_report(cli, converted, tmp_path):
    summary = json.loads((converted / "summary.json").read_text())
    assert cli.call("evaluate", converted, "--json").json["accuracy"] == pytest.approx(summary["accuracy"])
    copy = Path(shutil.copytree(converted, tmp_path / "c"))
    assert cli.call("report", copy).code == 0
    page = (copy / "report.html").read_text()
    assert f"{summary['file_bytes']:,} bytes" in page and f"{100 * summary['accuracy']:.2f} %" in page
    assert all(layer["name"] in page for layer in summary["layers"]) and (copy / "plots" / "bytes.png").exists()
    again = cli.call("convert", "--checkpoint", copy.parent / "no", "--budget", "5bpw", "--out", copy)
    assert again.code == 2 and "not the folder of a conversion" not in again.err
    (copy / "summary.json").write_text("{}")
    assert "damaged" in cli.bad("report", copy)


def test_a_damaged_summary_is_listed_and_shown_as_far_as_it_goes(cli, copied):
    wrong = {"accuracy": "high", "file_bytes": [1], "network": {}, "made": "by me", "class_names": 3}
    (copied / "summary.json").write_text(json.dumps(wrong))
    (listed,) = cli.call("list", copied, "--json").json["runs"]
    assert listed["accuracy"] is listed["file_bytes"] is listed["network"] is None
    assert cli.call("list", copied).code == cli.call("show", copied).code == 0
