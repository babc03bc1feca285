"""`bankwise convert`: trained and untrained networks, files of weights, and what it refuses."""

from __future__ import annotations

import argparse
import json
import zipfile

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Composite
from bankwise.search_space.networks import build
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.file.container import read
from bankwise.trained import open_trained
from bankwise.trainers.task import TaskSource
from bankwise.weights import load_weights


def flat(num_classes: int) -> torch.nn.Module:
    """A network without a layer."""
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d((num_classes, 1)), torch.nn.Flatten())


DIGITS = ("--data", "digits", "--limit", 300)


@pytest.fixture(scope="module")
def state(finished):
    """The trained uncompressed network of a finished search."""
    return open_trained(None, checkpoint=finished[0]).network.state_dict()


def test_a_run_is_converted_within_the_budget_and_keeps_its_accuracy(cli, finished, tmp_path):
    folder, search = finished
    outcome = cli.call("convert", "--checkpoint", folder, *DIGITS, "--budget", "6bpw", "--out", tmp_path, "--json")
    summary = outcome.json
    assert outcome.code == 0 and outcome.err == ""
    size = (tmp_path / "model.bankwise").stat().st_size
    assert size == summary["file_bytes"] == summary["planned_bytes"] <= summary["budget_bytes"]
    assert summary["uncompressed"]["accuracy"] == search.json["uncompressed"]["test_accuracies"][0]
    assert summary["accuracy"] > summary["uncompressed"]["accuracy"] - 0.02
    assert summary["trained"].endswith("uncompressed-0.pt") and summary["realigned"] and summary["images"] == 359
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    plan = Plan.read(tmp_path / "plan.yaml")
    assert plan == read(tmp_path / "model.bankwise").plan
    assert {name: choice.to_dict() for name, choice in plan.layers.items()} == {
        layer["name"]: layer["choice"] for layer in summary["layers"]
    }
    assert all(0 <= layer["error"] < 0.1 for layer in summary["layers"])
    # the file is measured as any other, and its plan is priced as any other
    measured = cli.call("evaluate", tmp_path / "model.bankwise", *DIGITS, "--json").json
    assert measured["accuracy"] == summary["accuracy"]
    assert cli.call("plan", "--plan-file", tmp_path / "plan.yaml", "--json").json["file_bytes"] == size


def test_the_same_command_gives_the_same_file(cli, finished, tmp_path):
    for name in ("a", "b"):
        out = tmp_path / f"{name}.bankwise"
        assert cli.call("convert", "--checkpoint", finished[0], *DIGITS, "--budget", "4bpw", "--out", out).code == 0
    assert (tmp_path / "a.bankwise").read_bytes() == (tmp_path / "b.bankwise").read_bytes()


def test_validation_images_are_those_of_the_run_that_trained_the_network(cli, finished, tmp_path):
    """Of the whole data set's, some were trained on. What is written says so to those who measure it later."""
    folder, search = finished
    told = (
        "convert",
        "--checkpoint",
        folder,
        "--data",
        "digits",
        "--budget",
        "8bpw",
        "--split",
        "validation",
        "--json",
    )
    summary = cli.call(*told, "--out", tmp_path / "c").json
    recorded = json.loads((folder / "settings.json").read_text())
    assert summary["images"] == len(TaskSource.from_dict(recorded["source"]).load().val_y)
    assert summary["uncompressed"]["accuracy"] == search.json["uncompressed"]["accuracies"][0]
    measured = cli.call("evaluate", tmp_path / "c", "--data", "digits", "--split", "validation", "--json").json
    assert (measured["images"], measured["accuracy"]) == (summary["images"], summary["accuracy"])


def test_how_pixels_enter_is_recorded_without_data_too(cli, tmp_path):
    words = ("convert", "tiny", "--budget", "4bpw", "--classes", 10, "--imagenet", "--out", tmp_path / "x.bankwise")
    assert cli.call(*words, "--input", "3x8x8").code == 0
    assert read(tmp_path / "x.bankwise").images.normalization == "imagenet"
    refused = cli.call(*words, "--input", "1x8x8")
    assert refused.code == 2 and "1 channel(s), not 3" in refused.err


@pytest.mark.parametrize(
    "place", ["summary.json", "checkpoints/searched-0.bankwise", "checkpoints/new.bankwise", "search/x.bankwise"]
)
def test_nothing_is_written_over_what_a_run_keeps(cli, copied, place):
    target = copied / place
    before = target.read_bytes() if target.exists() else None
    words = ("convert", "tiny", "--budget", "4bpw", "--input", "1x8x8", "--classes", 10)
    outcome = cli.call(*words, "--out", target)
    assert outcome.code == 2 and len(outcome.err.splitlines()) == 1
    assert (target.read_bytes() if target.exists() else None) == before


def test_a_plan_of_a_conversion_can_be_trained(cli, finished, tmp_path):
    arguments = ("--kinds", "composite", "--budget", "4.2bpw", "--out", tmp_path / "made")
    assert cli.call("convert", "--checkpoint", finished[0], *arguments).code == 0
    plan = tmp_path / "made/plan.yaml"
    assert {type(choice) for choice in Plan.read(plan).layers.values()} == {Composite}
    done = cli.call("train", "--plan", plan, *DIGITS, "--epochs", 2, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert done.json["file_bytes"] == (tmp_path / "made/model.bankwise").stat().st_size


def test_without_weights_only_sizes_mean_anything_and_it_says_so(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("convert", "tiny", "--input", "1x8x8", "--classes", 10, "--budget", "5bpw")
    outcome = cli.call(*arguments)
    assert outcome.code == 0 and "weights random, only sizes mean anything" in outcome.out
    size = (tmp_path / "tiny.bankwise").stat().st_size
    assert f"tiny.bankwise: {size:,} bytes, as planned" in outcome.out
    summary = cli.call(*arguments, "--json").json
    assert summary["trained"] == "random" and not summary["realigned"]
    assert summary["accuracy"] is summary["data"] is None


def test_a_tight_budget_takes_banks_and_an_impossible_one_is_refused_at_once(cli, finished, tmp_path):
    arguments = ("convert", "--checkpoint", finished[0], "--out", tmp_path / "model.bankwise", "--budget")
    summary = cli.call(*arguments, "1.9bpw", "--json").json
    assert any(layer["choice"]["family"] in ("stacked", "sparse") for layer in summary["layers"])
    assert summary["file_bytes"] <= summary["budget_bytes"]
    (tmp_path / "model.bankwise").unlink()
    line = cli.bad(*arguments, "700", code=3)
    assert "700 bytes" in line and "needs at least" in line
    line = cli.bad(*arguments, "2bpw", "--kinds", "composite", code=3)
    assert "needs at least" in line and not (tmp_path / "model.bankwise").exists()


FORMS = {
    "plain": lambda state: state,
    "nested": lambda state: {"epoch": 3, "state_dict": state},
    "as a tutorial saves": lambda state: {
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {}},
        "loss": 0.1,
    },
    "as torchvision saves": lambda state: {"model": state, "args": {"lr": 0.1}},
    "nested twice": lambda state: {"model": {"state_dict": state}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
    "as Lightning saves": lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
    "double": lambda state: {name: value.double() for name, value in state.items()},
}


@pytest.mark.parametrize("form", [*FORMS, "safetensors", "densenet's first names"])
def test_weights_in_every_form(state, tmp_path, form):
    path, network = tmp_path / "weights.pt", build("tiny", classes=10, in_channels=1)
    if form == "safetensors":
        from safetensors.torch import save_file

        path = tmp_path / "weights.safetensors"
        save_file(state, path)
    elif form.startswith("densenet"):
        network = build("torchvision:densenet121", classes=3, in_channels=3)
        made = network.state_dict()
        renamed = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): made[name] for name in made}
        assert renamed.keys() != made.keys()
        torch.save({name: value for name, value in renamed.items() if "num_batches" not in name}, path)
        state = {name: value.clone() for name, value in made.items()}
        for parameter in network.parameters():
            parameter.data.zero_()
    else:
        torch.save(FORMS[form](state), path)
    load_weights(network, path)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_weights_that_do_not_fit(cli, state, tmp_path):
    last = list(state)[-1]
    loop: dict[str, object] = {}
    loop["model"] = loop
    wrong = {
        "lacks": {name: value for name, value in state.items() if name != last},
        "more": state | {"extra.weight": torch.zeros(2)},
        "shape": state | {last: torch.zeros(3)},
        "list": [1, 2],
    }
    words = {
        "lacks": f"{last!r}: the file lacks it",
        "more": "'extra.weight': the network has no",
        "list": "state dict",
    }
    words["shape"] = f"{last!r} is (3,), expected (10,)"
    wrong |= {
        "nan": state | {last: torch.full((10,), torch.nan)},
        "complex": state | {last: torch.zeros(10, dtype=torch.complex64)},
        "sparse": state | {last: torch.zeros(10).to_sparse()},
        "numbers": {1: torch.zeros(2)},
        "texts": {"state_dict": {"weight": "text"}},
        "empty": {},
        "code": {"model": argparse.Namespace()},
        "itself": loop,
    }
    words |= {
        "nan": f"{last!r} holds NaN",
        "complex": "torch.complex64",
        "sparse": "torch.sparse_coo",
        "numbers": "1 is a Tensor",
        "texts": "'weight' is a str",
        "empty": "no state dict",
        "code": "torch.save(network.state_dict(), path) writes one",
        "itself": "no state dict",
    }
    for name, values in wrong.items():
        torch.save(values, tmp_path / name)
        with pytest.raises(BankwiseError) as caught:
            load_weights(build("tiny", classes=10, in_channels=1), tmp_path / name)
        assert words[name] in str(caught.value), caught.value
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", bytes(10**6))
    with pytest.raises(BankwiseError, match="the archive is compressed"):
        load_weights(build("tiny", classes=10, in_channels=1), tmp_path / "bomb")
    (tmp_path / "text.safetensors").write_text("no")
    (tmp_path / "text").write_text("no weights at all")
    common = ("convert", "tiny", "--input", "1x8x8", "--classes", 10, "--budget", "5bpw", "--weights")
    for name in ("text", "text.safetensors", "nowhere"):
        assert name in cli.bad(*common, tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["name a network"]),
        (("tiny",), ["tiny", "--data", "--input"]),
        (("tiny", "--data", "digits", "--split", "tset"), ["unknown split", "test"]),
        (("tiny", "--data", "digits", "--kinds", "float32"), ["float32", "int2"]),
        (("tiny", "--data", "digits", "--vector-bits", "7"), ["--vector-bits 7", "16"]),
        (("tiny", "--data", "digits", "--input", "3x8x8"), ["3x8x8", "1x8x8"]),
        (("tiny", "--data", "digits", "--weights", "a", "--checkpoint", "b"), ["not both"]),
        (("--checkpoint", "nowhere"), ["nowhere", "uncompressed"]),
        (("resnet20", "--limit", "5", "--no-flip"), ["--limit, --flip", "--data"]),
        (("resnet20", "--split", "validation"), ["--split validation", "--data"]),
        (("segnet@0.1", "--data", "digits"), ["segnet@0.1", "1x8x8", "too small"]),
        (("tests.bankwise.test_convert_command:flat", "--data", "digits"), ["flat", "no convolution"]),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line(cli, arguments, words, tmp_path):
    line = cli.bad("convert", *arguments, "--budget", "6bpw", "--out", tmp_path / "x.bankwise")
    assert all(word in line for word in words), line


def test_a_run_of_another_network(cli, finished):
    assert "'tiny'" in cli.bad("convert", "small", "--checkpoint", finished[0], "--budget", "5bpw")


def test_a_segmentation_network_is_not_measured_but_runs_as_it_did(cli, tmp_path):
    out = tmp_path / "segnet.bankwise"
    done = cli.call(
        "convert", "segnet@0.1", "--input", "3x40x60", "--classes", 5, "--budget", "6bpw", "--out", out, "--json"
    )
    assert done.code == 0, done.err
    trained = open_trained("segnet@0.1", input_shape=(3, 40, 60), classes=5)
    x = torch.randn(2, 3, 40, 60)
    mine, wanted = read(out).network()(x), trained.network(x)
    assert mine.shape == wanted.shape == (2, 5, 40, 60)
    assert (mine - wanted).square().mean() < 0.2 * wanted.square().mean()
    line = cli.bad("evaluate", out, "--data", "digits")
    assert "3x40x60" in line


def test_a_detector_of_torchvision_is_converted_and_read_back(cli, tmp_path):
    out, name = tmp_path / "ssd.bankwise", "torchvision:ssdlite320_mobilenet_v3_large"
    summary = cli.call("convert", name, "--kinds", "composite,int4", "--budget", "5bpw", "--out", out, "--json").json
    assert out.stat().st_size == summary["file_bytes"] == summary["planned_bytes"] <= summary["budget_bytes"]
    trained, network = open_trained(name), read(out).network()
    assert trained.shape.input_shape == (3, 320, 320) and trained.shape.classes == 91
    image = torch.randn(1, 3, 320, 320)
    with torch.no_grad():  # boxes are selected by an operator that a CPU-only torchvision may lack
        heads = [one.head(list(one.backbone(image).values())) for one in (network, trained.network)]
    for mine, theirs in zip(*(head.values() for head in heads), strict=True):
        assert mine.shape == theirs.shape and mine.shape[1] == 3234
        assert (mine - theirs).square().mean() < 0.2 * theirs.square().mean()
