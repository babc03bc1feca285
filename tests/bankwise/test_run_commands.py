"""train, export, evaluate and report."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import numpy as np
import onnx
import pytest
import torch

from bankwise.search_space.locks import alone_in
from bankwise.search_space.targets.file.container import load
from bankwise.search_space.targets.onnx.checking import TOLERANCE, open_session, run
from bankwise.trainers.data import load_data

TRAIN = ["--data", "digits", "--limit", "300", "--epochs", "3", "--json"]


def test_train_gives_the_file_of_the_plan(cli, finished, tmp_path):
    folder, outcome = finished
    done = cli.call("train", "--plan", folder / "plan.yaml", *TRAIN, "--out", tmp_path / "run", "--seeds", 2)
    assert done.code == 0, done.err
    assert done.json["file_bytes"] == outcome.json["file_bytes"] == (tmp_path / "run/model.bankwise").stat().st_size
    assert done.json["accuracies"] == outcome.json["accuracies"]  # the same seeds, the same teachers
    assert done.json["budget_bytes"] is done.json["baseline_uniform"] is None
    assert done.json["uncompressed"]["accuracies"] == outcome.json["uncompressed"]["accuracies"]
    again = cli.call("train", "--plan", folder / "plan.yaml", *TRAIN, "--out", tmp_path / "run", "--seeds", 2)
    assert again.json == done.json
    assert "epochs" in cli.bad(
        "train", "--plan", folder / "plan.yaml", *TRAIN, "--out", tmp_path / "run", "--epochs", 2
    )


def test_train_without_a_teacher(cli, finished, tmp_path):
    folder, _ = finished
    arguments = ["train", "--plan", folder / "plan.yaml", *TRAIN, "--out", tmp_path / "run", "--no-teacher"]
    summary = cli.call(*arguments).json
    assert summary["uncompressed"] == {"accuracy": None, "test_accuracy": None, "bytes": 133352}
    assert "uncompressed" in cli.call(*(word for word in arguments if word != "--json")).out
    assert not list((tmp_path / "run/checkpoints").glob("uncompressed*"))
    line = cli.bad(*arguments[:-2], tmp_path / "other", "--no-teacher", "--distill", 0.5)
    assert "distill" in line and "teacher" in line


def test_a_plan_is_not_trained_on_other_data(cli, finished, tmp_path, colour):
    line = cli.bad(
        "train", "--plan", finished[0] / "plan.yaml", "--data", f"npz:{colour}", "--out", tmp_path / "run"
    )  # fmt: skip
    assert "(1, 8, 8)" in line and "(3, 8, 8)" in line and not (tmp_path / "run").exists()


@pytest.fixture
def colour(tmp_path):
    """Colour images, 8x8, of 4 classes."""
    rng = np.random.default_rng(0)
    sets = {f"x_{part}": rng.integers(0, 255, (40, 8, 8, 3), dtype=np.uint8) for part in ("train", "test")}
    np.savez(tmp_path / "colour.npz", **sets, y_train=np.arange(40) % 4, y_test=np.arange(40) % 4)
    return tmp_path / "colour.npz"


def test_export_gives_each_seed_s_file_from_its_checkpoint_too(cli, copied, tmp_path):
    for seed in (0, 1):
        packed = copied / "checkpoints" / f"searched-{seed}.bankwise"
        wanted = packed.read_bytes()
        outcome = cli.call("export", copied, "-o", tmp_path / "a", "--seed", seed)
        assert outcome.code == 0 and f"{len(wanted):,} bytes" in outcome.out
        packed.unlink()
        assert cli.call("export", copied, "-o", tmp_path / "b", "--seed", seed).code == 0
        packed.write_bytes(wanted[:-1])
        assert cli.call("export", copied, "-o", tmp_path / "c", "--seed", seed).code == 0
        assert all((tmp_path / name).read_bytes() == wanted for name in "abc")


def test_export_restores_the_run_s_model(cli, copied):
    wanted = (copied / "model.bankwise").read_bytes()
    (copied / "model.bankwise").unlink()
    assert cli.call("export", copied).code == 0
    assert (copied / "model.bankwise").read_bytes() == wanted


def test_export_of_another_seed_never_replaces_the_run_s_model(cli, copied):
    accuracies = json.loads((copied / "summary.json").read_text())["accuracies"]
    best = accuracies.index(max(accuracies))
    other, wanted = 1 - best, (copied / "model.bankwise").read_bytes()
    assert f"model-{other}.bankwise" in cli.call("export", copied, "--seed", other).out
    packed = (copied / "checkpoints" / f"searched-{other}.bankwise").read_bytes()
    assert (copied / f"model-{other}.bankwise").read_bytes() == packed
    line = cli.bad("export", copied, "--seed", other, "-o", copied / "checkpoints" / ".." / "model.bankwise")
    assert f"the run's model, of seed {best}" in line
    assert cli.call("export", copied, "--seed", best).code == 0
    assert (copied / "model.bankwise").read_bytes() == wanted


@pytest.mark.parametrize("target", ["file", "onnx", "c"])
def test_export_replaces_nothing_that_the_run_keeps(cli, copied, target):
    def files():
        return {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}

    before = files()
    for name in ("", "settings.json", "summary.json", "plan.yaml", "uniform.yaml", "metrics.jsonl", "checkpoints",
                 "checkpoints/searched-0.bankwise", "checkpoints/deeper/model", "plots/../summary.json"):  # fmt: skip
        line = cli.bad("export", copied, "--target", target, "-o", copied / name)
        assert f"is what the run keeps: write the target {target!r} elsewhere" in line
    assert files() == before


def test_export_of_a_conversion(cli, finished, tmp_path):
    folder = tmp_path / "converted"
    assert cli.call("convert", "--checkpoint", finished[0], "--budget", "4bpw", "--out", folder).code == 0
    wanted = (folder / "model.bankwise").read_bytes()
    assert cli.call("export", folder).code == 0
    assert cli.call("export", folder, "-o", tmp_path / "copy.bankwise").code == 0
    assert (folder / "model.bankwise").read_bytes() == (tmp_path / "copy.bankwise").read_bytes() == wanted
    assert "a conversion, not seed 0" in cli.bad("export", folder, "--seed", 0)
    (folder / "model.bankwise").write_bytes(wanted[:-1])
    assert "model.bankwise" in cli.bad("export", folder)


@pytest.mark.parametrize(("target", "file"), [("onnx", "model.onnx"), ("onnx_plain", "model.plain.onnx")])
def test_export_of_a_run_as_onnx_gives_the_logits_of_its_file(cli, copied, target, file):
    outcome = cli.call("export", copied, "--target", target)
    written = copied / file
    assert outcome.code == 0 and f"{written.stat().st_size:,} bytes" in "".join(outcome.out.split("\n"))
    said = {one.key: one.value for one in onnx.load(written).metadata_props}
    assert said["sha256"] == hashlib.sha256((copied / "model.bankwise").read_bytes()).hexdigest()
    assert json.loads(said["labels"]) == list("0123456789") and said["normalization"].startswith("symmetric")
    network, images = load(copied / "model.bankwise"), load_data("digits").test()[0]
    wanted = network(network.images.to_input(images))
    found = run(open_session(written.read_bytes()), network.images.to_input(images))
    assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()
    assert torch.equal(found.argmax(1), wanted.argmax(1))
    first = written.read_bytes()
    assert cli.call("export", copied, "--target", target).code == 0 and written.read_bytes() == first


def test_export_as_onnx_of_another_seed_of_a_conversion_and_over_the_run_s_model(cli, copied, finished, tmp_path):
    accuracies = json.loads((copied / "summary.json").read_text())["accuracies"]
    other = 1 - accuracies.index(max(accuracies))
    assert cli.call("export", copied, "--target", "onnx", "--seed", other).code == 0
    assert (copied / f"model-{other}.onnx").exists() and not (copied / "model.onnx").exists()
    wanted = (copied / "model.bankwise").read_bytes()
    line = cli.bad("export", copied, "--target", "onnx", "-o", copied / "model.bankwise")
    assert "the run's model: write the target 'onnx' elsewhere" in line
    assert (copied / "model.bankwise").read_bytes() == wanted
    folder = tmp_path / "converted"
    assert cli.call("convert", "--checkpoint", finished[0], "--budget", "4bpw", "--out", folder).code == 0
    assert cli.call("export", folder, "--target", "onnx").code == 0
    said = {one.key: one.value for one in onnx.load(folder / "model.onnx").metadata_props}
    assert said["sha256"] == hashlib.sha256((folder / "model.bankwise").read_bytes()).hexdigest()
    assert json.loads(said["labels"]) == list("0123456789")


def test_a_conversion_replaces_nothing_but_a_conversion(cli, copied, tmp_path):
    wanted = {name: (copied / name).read_bytes() for name in ("model.bankwise", "plan.yaml", "summary.json")}
    convert = ("convert", "tiny", "--data", "digits", "--budget", "5bpw", "--kinds", "int4", "--out")
    assert "not the folder of a conversion" in cli.bad(*convert, copied)
    assert "model of a run" in cli.bad(*convert, copied / "model.bankwise")
    assert {name: (copied / name).read_bytes() for name in wanted} == wanted
    for _ in range(2):
        assert cli.call(*convert, tmp_path / "converted").code == 0
    with alone_in(tmp_path / "converted"):
        assert "in use by another process (pid" in cli.bad(*convert, tmp_path / "converted")


def test_export_of_what_is_no_run(cli, copied, tmp_path):
    assert "finished run" in cli.bad("export", tmp_path / "nowhere")
    line = cli.bad("export", copied, "--seed", 2)
    assert "0, 1" in line and "2" in line


def test_evaluate_reads_the_file_back(cli, finished):
    folder, outcome = finished
    best = int(np.argmax(outcome.json["accuracies"]))
    for split, key in (("validation", "accuracies"), ("test", "test_accuracies")):
        summary = cli.call(
            "evaluate", folder / "model.bankwise", "--limit", 300, "--split", split, "--json"
        ).json  # fmt: skip
        assert summary["accuracy"] == outcome.json[key][best] and summary["split"] == split
        assert (
            summary["file_bytes"] == outcome.json["file_bytes"] and summary["paper_bits"] == outcome.json["paper_bits"]
        )
        assert summary["budget_bytes"] == 1200 and summary["plan"] == outcome.json["plan"]
        assert summary["uncompressed"]["bytes"] == 133352
        key = "test_accuracy" if split == "test" else "accuracy"
        assert summary["baseline_uniform"]["accuracy"] == outcome.json["baseline_uniform"][key]
    assert " %" in cli.call("evaluate", folder / "model.bankwise").out


def test_evaluate_measures_the_run_s_own_validation_images_and_compares_with_no_others(cli, finished):
    folder, outcome = finished
    best = max(outcome.json["accuracies"])
    call = ("evaluate", folder / "model.bankwise", "--split", "validation", "--json")
    own = cli.call(*call).json  # without --limit: of all images the network was trained on many
    assert (own["images"], own["accuracy"]) == (50, best)
    assert own["baseline_uniform"]["accuracy"] == outcome.json["baseline_uniform"]["accuracy"]
    for others, images in ((["--limit", 400], 67), (["--limit", 300, "--validation", 0.5], 150)):
        other = cli.call(*call, *others).json
        assert other["images"] == images and other["baseline_uniform"] is other["budget_bytes"] is None
        assert other["uncompressed"]["accuracy"] is None


def test_every_command_takes_the_share_that_validates(cli, finished, tmp_path):
    model = finished[0] / "model.bankwise"
    half = ("--limit", 300, "--validation", 0.5)
    assert cli.call("evaluate", model, *half, "--split", "validation", "--json").json["images"] == 150
    train = ["train", "--plan", finished[0] / "plan.yaml", "--out", tmp_path / "run", "--epochs", 1, *half, "--json"]
    assert cli.call(*train).code == 0
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["training_images"] == 150
    done = cli.call("convert", "--checkpoint", finished[0], "--data", "digits", *half, "--split", "validation",
                    "--budget", "4bpw", "--out", tmp_path / "converted", "--json")  # fmt: skip
    assert done.code == 0, done.err


def test_evaluate_a_file_that_lies_alone(cli, finished, tmp_path):
    (tmp_path / "alone").write_bytes((finished[0] / "model.bankwise").read_bytes())
    summary = cli.call("evaluate", tmp_path / "alone", "--json").json
    assert (
        summary["accuracy"] > 0.1 and summary["budget_bytes"] is summary["plan"] is summary["baseline_uniform"] is None
    )
    assert summary["uncompressed"] == {"accuracy": None, "bytes": 133352}


def test_evaluate_says_what_does_not_fit(cli, finished, tmp_path, colour):
    model = finished[0] / "model.bankwise"
    line = cli.bad("evaluate", model, "--data", f"npz:{colour}")
    assert "1x8x8" in line and "3x8x8" in line
    assert "validation" in cli.bad("evaluate", model, "--split", "validaton")
    assert "nowhere" in cli.bad("evaluate", tmp_path / "nowhere")
    (tmp_path / "cut").write_bytes(model.read_bytes()[:-7])
    assert "truncated" in cli.bad("evaluate", tmp_path / "cut")
    assert "not a bankwise file" in cli.bad("evaluate", __file__)


def test_a_report_is_a_file(cli, finished, tmp_path):
    assert "is a folder; name the page" in cli.bad("report", finished[0], "--out", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_report_draws_runs_side_by_side(cli, finished, copied, tmp_path):
    outcome = cli.call("report", finished[0], copied, "--out", tmp_path / "page.html")
    assert outcome.code == 0 and outcome.out.strip() == str(tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text()
    assert "nowhere" in cli.bad("report", tmp_path / "nowhere")


def test_export_to_c_gives_the_logits_of_the_model(cli, copied, tmp_path):
    outcome = cli.call("export", copied, "--target", "c", "--out", tmp_path / "c")
    names = {"tiny.h", "tiny.c", "tiny_test.c", "main.c", "Makefile", "CMakeLists.txt"}
    assert outcome.code == 0 and {path.name for path in (tmp_path / "c").iterdir()} == names
    digest = hashlib.sha256((copied / "model.bankwise").read_bytes()).hexdigest()
    header = (tmp_path / "c" / "tiny.h").read_text()
    assert digest in header and 'TINY_LABELS {"0", "1", "2", ' in header and "TINY_NORMALIZE" in header
    if not (shutil.which("gcc") and shutil.which("make")):
        pytest.skip("needs gcc and make")
    made = subprocess.run(["make", "test", "tiny"], cwd=tmp_path / "c", capture_output=True, text=True)
    assert made.returncode == 0, made
    network, images = load(copied / "model.bankwise"), load_data("digits").test()[0][:50]
    inputs = network.images.to_input(images)
    shown = subprocess.run([tmp_path / "c" / "tiny"], input=inputs.numpy().tobytes(), capture_output=True, check=True)
    wanted = network(inputs).max(1)
    rows = [line.split() for line in shown.stdout.decode().splitlines()]
    assert [int(row[0]) for row in rows] == wanted.indices.tolist()
    assert [float(row[1]) for row in rows] == pytest.approx(wanted.values.tolist(), rel=1e-4, abs=1e-4)


def test_export_to_c_into_a_file_is_one_line(cli, copied, tmp_path):
    (tmp_path / "there").write_text("mine")
    assert "there" in cli.bad("export", copied, "--target", "c", "--out", tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine" and len(list(tmp_path.iterdir())) == 2


def test_evaluate_measures_no_other_images_in_place_of_the_run_s_own(cli, tmp_path, monkeypatch):
    """A path is the run's by any spelling; what lies there now must be what the run recorded."""
    rng = np.random.default_rng(0)

    def write(folder, count):
        folder.mkdir(exist_ok=True)
        sets = {f"x_{part}": rng.integers(0, 255, (count, 8, 8, 1), dtype=np.uint8) for part in ("train", "test")}
        sets |= {f"y_{part}": np.arange(count) % 3 for part in ("train", "test")}
        np.savez(folder / "d.npz", **sets)

    write(tmp_path / "here", 60)
    write(tmp_path / "there", 90)
    monkeypatch.chdir(tmp_path / "here")
    report = cli.call("plan", "--network", "tiny", "--data", "npz:d.npz", "--budget", "1200", "--out", "plan.yaml")
    assert report.code == 0, report.err
    options = ("--limit", 36, "--epochs", 1, "--no-teacher", "--out", "run")
    made = cli.call("train", "--plan", "plan.yaml", "--data", "npz:d.npz", *options)
    assert made.code == 0, made.err
    run = tmp_path / "here" / "run"
    own = cli.call("evaluate", run, "--split", "validation", "--json").json
    for spelled in ("npz:./d.npz", f"npz:{tmp_path / 'here' / 'd.npz'}"):
        again = cli.call("evaluate", run, "--split", "validation", "--data", spelled, "--json").json
        assert (again["images"], again["accuracy"]) == (own["images"], own["accuracy"]) and own["images"] < 12
    assert cli.call("evaluate", run, "--json").json["images"] == 60
    monkeypatch.chdir(tmp_path / "there")
    assert "the test images of 'npz:d.npz' are others than those of the run" in cli.bad("evaluate", run)
    assert "the validation images" in cli.bad("evaluate", run, "--split", "validation")
    shutil.copy(run / "model.bankwise", tmp_path / "alone.bankwise")
    assert cli.call("evaluate", tmp_path / "alone.bankwise", "--data", "npz:d.npz", "--json").json["images"] == 90


def test_baselines_of_another_metric_do_not_stand_beside(cli, finished):
    values = cli.call("evaluate", finished[0], "--metric", "macro-f1", "--json").json
    assert values["metric"] == "macro-f1" and values["baseline_uniform"] is None
    assert values["uncompressed"]["accuracy"] is None


def test_a_recipe_file_says_the_seed_where_no_option_does(cli, finished, tmp_path):
    (tmp_path / "recipe.yaml").write_text("seed: 7\nepochs: 1\n")
    plan, seeds = finished[0] / "plan.yaml", {}
    for name, options in {"file": (), "option": ("--seed", 3)}.items():
        arguments = ("--data", "digits", "--limit", 100, "--no-teacher", "--recipe", tmp_path / "recipe.yaml")
        done = cli.call("train", "--plan", plan, *arguments, *options, "--out", tmp_path / name)
        assert done.code == 0, done.err
        seeds[name] = json.loads((tmp_path / name / "settings.json").read_text())["seed"]
    assert seeds == {"file": 7, "option": 3}


def test_data_that_nothing_is_calibrated_on_are_refused(cli, finished, tmp_path):
    for options in (("--target", "onnx"), ("--target", "c"), ()):
        line = cli.bad("export", finished[0], *options, "--data", "cifar10", "--out", tmp_path / "made")
        assert "int8 activations" in line and not (tmp_path / "made").exists()
