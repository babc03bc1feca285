"""train, export, evaluate and report."""

from __future__ import annotations

import json

import numpy as np
import pytest

TRAIN = ["--data", "digits", "--limit", "300", "--epochs", "3", "--json"]


def test_train_gives_the_file_of_the_plan(cli, finished, tmp_path):
    folder, outcome = finished
    told = cli.call("train", "--plan", folder / "plan.yaml", *TRAIN, "--out", tmp_path / "run", "--seeds", 2)
    assert told.code == 0, told.err
    assert told.json["file_bytes"] == outcome.json["file_bytes"] == (tmp_path / "run/model.bankwise").stat().st_size
    assert told.json["accuracies"] == outcome.json["accuracies"]  # the same seeds, the same teachers
    assert told.json["budget_bytes"] is told.json["baseline_uniform"] is None
    assert told.json["uncompressed"]["accuracies"] == outcome.json["uncompressed"]["accuracies"]
    again = cli.call("train", "--plan", folder / "plan.yaml", *TRAIN, "--out", tmp_path / "run", "--seeds", 2)
    assert again.json == told.json
    assert "epochs" in cli.bad(
        "train", "--plan", folder / "plan.yaml", *TRAIN, "--out", tmp_path / "run", "--epochs", 2
    )


def test_train_without_a_teacher(cli, finished, tmp_path):
    folder, _ = finished
    arguments = ["train", "--plan", folder / "plan.yaml", *TRAIN, "--out", tmp_path / "run", "--no-teacher"]
    told = cli.call(*arguments).json
    assert told["uncompressed"] == {"accuracy": None, "test_accuracy": None, "bytes": 133352}
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


def test_export_of_what_is_no_run(cli, copied, tmp_path):
    assert "finished run" in cli.bad("export", tmp_path / "nowhere")
    line = cli.bad("export", copied, "--seed", 2)
    assert "0 to 1" in line and "2" in line


def test_evaluate_reads_the_file_back(cli, finished):
    folder, outcome = finished
    best = int(np.argmax(outcome.json["accuracies"]))
    for split, key in (("validation", "accuracies"), ("test", "test_accuracies")):
        told = cli.call(
            "evaluate", folder / "model.bankwise", "--limit", 300, "--split", split, "--json"
        ).json  # fmt: skip
        assert told["accuracy"] == outcome.json[key][best] and told["split"] == split
        assert told["file_bytes"] == outcome.json["file_bytes"] and told["paper_bits"] == outcome.json["paper_bits"]
        assert told["budget_bytes"] == 1200 and told["plan"] == outcome.json["plan"]
        assert told["uncompressed"]["bytes"] == 133352
        key = "test_accuracy" if split == "test" else "accuracy"
        assert told["baseline_uniform"]["accuracy"] == outcome.json["baseline_uniform"][key]
    assert " %" in cli.call("evaluate", folder / "model.bankwise").out


def test_every_command_takes_the_share_that_validates(cli, finished, tmp_path):
    model = finished[0] / "model.bankwise"
    half = ("--limit", 300, "--validation", 0.5)
    assert cli.call("evaluate", model, *half, "--split", "validation", "--json").json["images"] == 150
    train = ["train", "--plan", finished[0] / "plan.yaml", "--out", tmp_path / "run", "--epochs", 1, *half, "--json"]
    assert cli.call(*train).code == 0
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["training_images"] == 150
    told = cli.call("convert", "--checkpoint", finished[0], "--data", "digits", *half, "--split", "validation",
                    "--budget", "4bpw", "--out", tmp_path / "converted", "--json")  # fmt: skip
    assert told.code == 0, told.err


def test_evaluate_a_file_that_lies_alone(cli, finished, tmp_path):
    (tmp_path / "alone").write_bytes((finished[0] / "model.bankwise").read_bytes())
    told = cli.call("evaluate", tmp_path / "alone", "--json").json
    assert told["accuracy"] > 0.1 and told["budget_bytes"] is told["plan"] is told["baseline_uniform"] is None
    assert told["uncompressed"] == {"accuracy": None, "bytes": 133352}


def test_evaluate_says_what_does_not_fit(cli, finished, tmp_path, colour):
    model = finished[0] / "model.bankwise"
    line = cli.bad("evaluate", model, "--data", f"npz:{colour}")
    assert "1x8x8" in line and "3x8x8" in line
    assert "validation" in cli.bad("evaluate", model, "--split", "validaton")
    assert "nowhere" in cli.bad("evaluate", tmp_path / "nowhere")
    (tmp_path / "cut").write_bytes(model.read_bytes()[:-7])
    assert "truncated" in cli.bad("evaluate", tmp_path / "cut")
    assert "not a bankwise file" in cli.bad("evaluate", __file__)


def test_report_draws_runs_side_by_side(cli, finished, copied, tmp_path):
    outcome = cli.call("report", finished[0], copied, "--out", tmp_path / "page.html")
    assert outcome.code == 0 and outcome.out.strip() == str(tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text()
    assert "nowhere" in cli.bad("report", tmp_path / "nowhere")
