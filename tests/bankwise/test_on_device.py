"""`bankwise export --target c --activations int8`: what the sources compute is what is said, on real images."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, r2_score

from bankwise import evaluate, export
from bankwise.reading_back import data_of
from bankwise.trainers.data import load_data

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
#include "tiny.h"
#include <stdio.h>
int main(void)
{
    static tiny_input_t image[TINY_INPUTS];
    static tiny_logit_t logits[TINY_CLASSES];
    while (fread(image, sizeof image, 1, stdin) == 1) {
        tiny_predict(image, logits);
        fwrite(logits, sizeof logits, 1, stdout);
    }
    return 0;
}
"""


@pytest.fixture
def int8(cli, copied):
    """The export, and the accuracies that it prints, in percent: on the device and of the file."""
    outcome = cli.call("export", copied, "--target", "c", "--activations", "int8", "--name", "Digits")
    found = re.search(
        r"accuracy on 359 test images of digits: on the device ([\d.]+) %, of the file ([\d.]+) %", outcome.out
    )
    assert outcome.code == 0 and found, outcome
    return copied / "c-int8", float(found[1]), float(found[2])


def test_the_accuracy_that_is_said_is_that_of_the_compiled_sources(cli, copied, int8):
    folder, device, file = int8
    said = cli.call("evaluate", copied, "--json").json
    assert file == pytest.approx(100 * said["accuracy"], abs=0.1) and abs(device - file) < 5
    assert {path.name for path in folder.iterdir()} >= {"Digits.h", "Digits.c", "Digits_test.c"}
    header = (folder / "Digits.h").read_text()
    assert "typedef int8_t Digits_input_t;" in header and "DIGITS_LOGIT_SCALE 0x" in header
    if not (shutil.which("gcc") and shutil.which("make")):
        pytest.skip("needs gcc and make")
    made = subprocess.run(["make", "test", "Digits"], cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0 and "0 of 40 logits differ" in made.stdout, made
    pixels, labels = load_data("digits").test()
    given = np.rint((pixels.numpy() / 127.5 - 1) * 127).astype(np.int8)
    shown = subprocess.run([folder / "Digits"], input=given.tobytes(), capture_output=True, check=True, text=False)
    classes = [int(line.split()[0]) for line in shown.stdout.decode().splitlines()]
    assert 100 * np.mean(np.array(classes) == labels.numpy()) == pytest.approx(device, abs=0.06)


def test_the_self_test_finds_one_other_logit(int8):
    if not (shutil.which("gcc") and shutil.which("make")):
        pytest.skip("needs gcc and make")
    test = int8[0] / "Digits_test.c"
    test.write_text(test.read_text().replace("= {\n        {", "= {\n        {1 + ", 1))
    made = subprocess.run(["make", "test"], cwd=int8[0], capture_output=True, text=True)
    assert made.returncode != 0 and "1 of 40 logits differ" in made.stdout


def test_what_cannot_be_is_one_line_and_nothing_is_written(cli, copied):
    before = sorted(copied.rglob("*"))
    c = ("export", copied, "--target", "c")
    assert "unknown activations 'int4'" in cli.bad(*c, "--activations", "int4")
    assert "activations 'int8' is of the target 'c', not 'file'" in cli.bad("export", copied, "--activations", "int8")
    assert "name 'x' is of the target 'c', not 'onnx'" in cli.bad("export", copied, "--target", "onnx", "--name", "x")
    for name in ("3d", "int", "a-b", "", "main", "a" * 32, "é"):
        assert "is no name of C" in cli.bad(*c, "--name", name)
    for name in ("test", "all", "Clean", "stdint", "Main", "m"):
        assert "target of make or CMake: give another" in cli.bad(*c, "--name", name)
    (copied / "taken" / "Makefile").mkdir(parents=True)
    assert "Makefile': Is a directory" in cli.bad(*c, "--out", copied / "taken")
    assert [path.name for path in (copied / "taken").iterdir()] == ["Makefile"]
    shutil.rmtree(copied / "taken")
    assert "mnist" in cli.bad(*c, "--activations", "int8", "--data", "mnist", "--data-root", copied / "nowhere")
    for file, key in (("settings.json", "source"), ("summary.json", "data")):
        values = json.loads((copied / file).read_text())
        del values[key]
        (copied / file).write_text(json.dumps(values))
    assert "records no data, name it by --data" in cli.bad(*c, "--activations", "int8")
    assert sorted(copied.rglob("*")) == before
    assert cli.call(*c, "--activations", "int8", "--data", "digits").code == 0


def test_images_of_another_size_are_one_line(cli, copied, tmp_path):
    images = np.zeros((40, 9, 9, 1), np.uint8)
    np.savez(
        tmp_path / "other.npz", x_train=images, x_test=images, y_train=np.arange(40) % 10, y_test=np.arange(40) % 10
    )
    line = cli.bad(
        "export", copied, "--target", "c", "--activations", "int8", "--data", f"npz:{tmp_path / 'other.npz'}"
    )
    assert "images of shape 1x8x8" in line and not (copied / "c-int8").exists()


def test_the_example_classifies_on_the_host_and_in_the_emulator(copied):
    if not all(map(shutil.which, ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"))):
        pytest.skip("needs gcc, arm-none-eabi-gcc and qemu-system-arm")
    command = [sys.executable, ROOT / "examples" / "device" / "digits.py", copied, "--images", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done
    assert done.stdout.count("is a ") == 3 and done.stdout.count("the same logits, bit for bit") == 2
    for activations in ("float32", "int8"):
        counts = re.findall(rf"{activations}, .*: (\d+) of 20 right", done.stdout)
        assert len(counts) == 2 and counts[0] == counts[1]
    planned = re.search(r"constant data: ([\d,]+) bytes: (.*)", done.stdout)
    parts = [int(one.replace(",", "")) for one in re.findall(r" ([\d,]+)(?:, |$)", planned[2])]
    assert sum(parts) == int(planned[1].replace(",", ""))
    stacks = [int(row.rsplit("|", 2)[1]) for row in done.stdout.splitlines()[-2:]]
    assert all(200 < one < 700 for one in stacks)


def brightness(images=120):
    """Images whose halves are bright or not: which of them, and how bright the image is."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (images, 8, 8)).astype(np.uint8)
    halves = rng.integers(0, 2, (images, 2)).astype(np.uint8)
    pixels[:, :4] += 150 * halves[:, :1, None]
    pixels[:, 4:] += 150 * halves[:, 1:, None]
    return pixels, halves, pixels.mean((1, 2)).astype(np.float32) / 255


@pytest.fixture(params=["labels", "values"])
def other_labels(request, cli, tmp_path):
    """A run on data whose labels are no classes, and its test images."""
    pixels, halves, mean = brightness()
    labels = halves if request.param == "labels" else mean
    file, plan, run = (tmp_path / name for name in ("data.npz", "plan.yaml", "run"))
    np.savez(file, x_train=pixels[:80], y_train=labels[:80], x_test=pixels[80:], y_test=labels[80:])
    data = ("--data", f"npz:{file}")
    planned = cli.call("plan", "--network", "tiny", *data, "--budget", "3KiB", "--out", plan)
    trained = cli.call("train", "--plan", plan, *data, "--epochs", 3, "--batch", 40, "--threads", 1, "--out", run)
    assert planned.code == trained.code == 0, (planned, trained)
    return run, pixels[80:], labels[80:]


def test_other_labels_are_measured_by_the_metric_of_the_run(other_labels):
    """By scikit-learn, on the logits of the compiled sources, in real numbers."""
    run, pixels, labels = other_labels
    found = []
    folder = export(run, target="c", activations="int8", on_accuracy=found.append)
    (measured,) = found
    said = evaluate(run, data_of(run))
    assert (measured.metric, measured.file) == (said.metric, pytest.approx(said.accuracy, abs=1e-6))
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    scale = float.fromhex(re.search(r"LOGIT_SCALE (\S+)f", (folder / "tiny.h").read_text())[1])
    (folder / "driver.c").write_text(DRIVER)
    command = ["gcc", "-O1", "driver.c", "tiny.c", "-o", "driver", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    given = np.rint((pixels / 127.5 - 1) * 127).astype(np.int8)
    done = subprocess.run([folder / "driver"], input=given.tobytes(), capture_output=True, check=True)
    logits = np.frombuffer(done.stdout, np.int16).reshape(len(pixels), -1) * scale
    if labels.ndim == 1:
        expected = r2_score(labels, logits[:, 0])
    else:
        expected = f1_score(labels, logits > 0, average="macro")
    assert measured.device == pytest.approx(expected, abs=1e-5)


def test_what_cannot_be_measured_is_said_before_anything_is_written(cli, copied):
    summary = json.loads((copied / "summary.json").read_text())
    (copied / "summary.json").write_text(json.dumps(summary | {"metric": "nowhere:metric"}))
    assert "nowhere:metric" in cli.bad("export", copied, "--target", "c", "--activations", "int8")
    assert not (copied / "c-int8").exists()
