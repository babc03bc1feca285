"""One description of network and images: recorded whole, compared whole, and obeyed by every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from bankwise.cli.groups import grouped
from bankwise.cli.options import DataOptions
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import Images
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.file.container import load
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.trainers.data_sets import image_folder
from bankwise.trainers.task import TaskSource

QUICK = (
    "--network tiny --budget 60x --trials 1 --uniform-trials 1 --finalists 1 --finalist-seeds 1 --seeds 1 --epochs 1 "
    "--trial-epochs 1 --json"
).split()


def write_images(folder: Path, names: tuple[str, ...]) -> Path:
    """Twelve images of 12 x 10 pixels a class, of one colour each."""
    for index, name in enumerate(names):
        (folder / "train" / name).mkdir(parents=True)
        for number in range(12):
            image = Image.new("RGB", (12, 10), (80 * index + number, 40, 200 - 80 * index))
            image.save(folder / "train" / name / f"{number}.png")
    return folder


def test_other_images_in_a_finished_folder_are_refused_by_name(cli, finished):
    """Of the same number of training images, so that this alone does not tell them apart."""
    line = cli.bad(*cli.search, "--out", finished[0], "--limit", 334, "--validation", 0.25)
    assert "source.limit: 300 there, 334 now" in line and "training_images" not in line
    line = cli.bad(*cli.search, "--out", finished[0], "--flip")
    assert "source.flip: None there, True now" in line
    source = json.loads((finished[0] / "settings.json").read_text())["source"]
    assert TaskSource.from_dict(source) == TaskSource("tiny", "digits", limit=300)


def test_changed_images_in_a_finished_folder_are_refused_by_every_command(cli, tmp_path):
    """The description is the same: the files below it have changed."""
    images = write_images(tmp_path / "photos", ("cat", "dog"))
    data = ["--data", f"imagefolder:{images}", "--image-size", 8]
    run, nni = tmp_path / "run", ["nni", "init", tmp_path / "e", "--budget", "60x", "--epochs", 1, *data]
    made = cli.call("search", *QUICK, *data, "--out", run)
    train = ["train", "--plan", run / "plan.yaml", "--epochs", 1, *data, "--json", "--out", tmp_path / "t"]
    assert cli.call(*train).code == cli.call(*nni).code == 0
    assert cli.call("search", *QUICK, *data, "--out", run).json == made.json
    assert cli.call(*nni).code == 0
    experiment = Experiment.read(tmp_path / "e")
    experiment.task(tmp_path / "e")
    file = next(file for file in images.rglob("*.png") if file.name == "3.png")
    Image.new("RGB", (12, 10), (1, 2, 3)).save(file)
    for command in (["search", *QUICK, *data, "--out", run], train, nni):
        assert "identity.checksums." in cli.bad(*command), command[0]
    with pytest.raises(BankwiseError, match=r"others than were recorded \(checksums"):
        experiment.task(tmp_path / "e")
    file.unlink()
    assert "images.t" in cli.bad("search", *QUICK, *data, "--out", run), "one fewer"


def test_the_images_of_every_split_are_told_before_the_training(cli, tmp_path):
    images = write_images(tmp_path / "photos", ("cat", "dog"))
    (images / "train/cat/Thumbs.db").touch()
    data = ["--data", f"imagefolder:{images}", "--image-size", 8]
    told = [
        "data: 2 classes (cat, dog); images 3x8x8, symmetric, flipped at random",
        f"data: training: 16 images of 2 classes, {images}/train",
        f"data: validation: 3 images of 2 classes, split off the training images of {images}/train",
        f"data: test: 5 images of 2 classes, split off the training images of {images}/train",
        f"data: skipped 1 file(s) that are no images: {images}/train/cat/Thumbs.db",
    ]
    made = cli.call("search", *QUICK, *data, "--out", tmp_path / "run")
    steps = "data: 1 optimizer step in a full training, which teach little: a smaller batch or more epochs make more"
    assert made.err.splitlines()[:6] == [*told, steps]
    assert cli.call("nni", "init", tmp_path / "e", "--budget", "60x", *data).err.splitlines() == told
    convert = ["convert", "--checkpoint", tmp_path / "run", *data, "--budget", "6bpw", "--out", tmp_path / "c"]
    assert cli.call(*convert).err.splitlines() == told
    shown = cli.call("evaluate", tmp_path / "run/model.bankwise", *data)
    assert shown.err == f"data: test images: split off the training images of {images}/train\n"


def test_plan_takes_the_options_of_search_and_reads_one_image(cli, tmp_path, monkeypatch):
    images = write_images(tmp_path / "photos", ("cat", "dog"))
    read = []
    real = image_folder.read_unless_large
    monkeypatch.setattr(image_folder, "read_unless_large", lambda *arguments: read.append(1) or real(*arguments))
    fed = ["--image-size", 8, "--normalization", "imagenet", "--no-flip", "--limit", 10, "--validation", 0.5]
    data = ["--data", f"imagefolder:{images}", *fed]
    shown = cli.call("plan", *data, "--budget", "60x", "--json", "--out", tmp_path / "plan.yaml")
    assert shown.code == 0, shown.err
    assert shown.json["input_shape"] == [3, 8, 8] and len(read) == 1
    plan = Plan.read(tmp_path / "plan.yaml")
    assert (plan.input_shape, plan.classes, plan.images) == ((3, 8, 8), 2, Images("imagenet"))
    train = ["train", "--plan", tmp_path / "plan.yaml", *data[:4], *fed[4:], "--epochs", 1, "--json"]
    assert "made with normalization imagenet" in cli.bad(*train, "--out", tmp_path / "t")
    done = cli.call(*train, "--imagenet", "--out", tmp_path / "t")
    assert done.json["file_bytes"] == shown.json["file_bytes"]
    assert "--image-size 8 is of the images of a folder" in cli.bad("plan", "--image-size", 8)


def test_an_image_folder_keeps_size_normalization_flip_and_classes(cli, tmp_path):
    images = write_images(tmp_path / "photos", ("cat", "dog"))
    data = ["--data", f"imagefolder:{images}"]
    fed = ["--image-size", 8, "--normalization", "imagenet", "--no-flip"]
    made = cli.call("search", *QUICK, *data, *fed, "--out", tmp_path / "run")
    assert made.code == 0, made.err
    assert made.json["normalization"] == "imagenet" and made.json["class_names"] == ["cat", "dog"]
    settings = json.loads((tmp_path / "run/settings.json").read_text())
    source = TaskSource.from_dict(settings["source"])
    assert (source.image_size, source.normalization, source.flip) == (8, "imagenet", False)
    assert settings["identity"]["class_names"] == ["cat", "dog"]
    assert "normalization" in cli.bad("search", *QUICK, *data, *fed[:2], fed[4], "--out", tmp_path / "run")

    model = tmp_path / "run/model.bankwise"  # the size is that of the file, the normalization that of the run
    shown = cli.call("evaluate", model, *data, "--json").json
    assert shown["accuracy"] == made.json["test_accuracy"] and shown["normalization"] == "imagenet"
    assert cli.call("evaluate", model, *data, "--imagenet", "--json").json == shown
    assert "normalization imagenet, as it records" in cli.bad("evaluate", model, *data, "--normalization", "symmetric")
    assert "contradicts" in cli.bad("evaluate", model, *data, "--imagenet", "--normalization", "symmetric")
    alone = tmp_path / "elsewhere.bankwise"  # without the run's folder the file still knows
    alone.write_bytes(model.read_bytes())
    assert cli.call("evaluate", alone, *data, "--json").json["accuracy"] == made.json["test_accuracy"]
    others = write_images(tmp_path / "others", ("cat", "horse"))
    line = cli.bad("evaluate", alone, "--data", f"imagefolder:{others}")
    assert "other classes" in line and "'cat', 'horse'" in line
    assert "as it records" in cli.bad("evaluate", alone, *data, "--normalization", "symmetric")
    assert load(alone).images == Images("imagenet", digest=Images(class_names=("cat", "dog")).digest)
    plan = Plan.read(tmp_path / "run/plan.yaml")
    assert plan.images == Images("imagenet", ("cat", "dog"))
    train = ["train", "--plan", tmp_path / "run/plan.yaml", "--epochs", 1, "--out", tmp_path / "t", "--image-size", 8]
    assert "the plan was made with normalization imagenet" in cli.bad(*train, *data)
    assert "the plan was trained on other classes" in cli.bad(*train, "--data", f"imagefolder:{others}", "--imagenet")
    line = cli.bad("evaluate", model, "--data", f"imagefolder:{others}")
    assert "other classes" in line and "'dog'" in line and "'horse'" in line

    convert = ["convert", "--checkpoint", tmp_path / "run", *data, "--budget", "6bpw", "--json"]
    done = cli.call(*convert, "--imagenet", "--no-flip", "--out", tmp_path / "c").json
    assert done["uncompressed"]["accuracy"] == made.json["uncompressed"]["test_accuracy"]
    assert done["normalization"] == "imagenet" and done["class_names"] == ["cat", "dog"]
    assert cli.call(*convert, "--out", tmp_path / "c").json["normalization"] == "imagenet", "as the run recorded"
    line = cli.bad(*convert, "--normalization", "symmetric", "--out", tmp_path / "c")
    assert "normalization imagenet, as it records" in line
    line = cli.bad(*convert[:3], "--data", f"imagefolder:{others}", *convert[5:], "--out", tmp_path / "c")
    assert "other classes" in line and "'dog', not 'horse'" in line
    blind = cli.call(*convert[:3], *convert[5:], "--out", tmp_path / "d")
    assert Plan.read(tmp_path / "d/plan.yaml").images == plan.images, "without data, as the run recorded"
    assert blind.json["file_bytes"] == blind.json["planned_bytes"] == (tmp_path / "d/model.bankwise").stat().st_size
    nni = ["nni", "init", tmp_path / "e", "--budget", "60x", *data, *fed, "--epochs", 1]
    assert cli.call(*nni).code == 0
    assert Experiment.read(tmp_path / "e").source == source


def test_grey_images_have_no_imagenet_normalization(cli, tmp_path):
    line = cli.bad(*cli.search, "--imagenet", "--out", tmp_path / "run")
    assert "1 channel" in line and not (tmp_path / "run").exists()
    assert "did you mean imagenet" in cli.bad(*cli.search, "--normalization", "imagenett", "--out", tmp_path / "run")


def test_a_network_of_ones_own_is_known_by_its_output(cli, tmp_path, monkeypatch):
    text = (
        "from torch import nn\n"
        "def make(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.{0}(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), "
        "nn.Flatten(), nn.Linear(8, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_known_net.py").write_text(text.format("ReLU"))
    command = [
        "search",
        *QUICK,
        "--network",
        "own_known_net:make",
        "--budget",
        "900B",
        "--limit",
        200,
        "--out",
        tmp_path / "run",
    ]
    made = cli.call(*command)
    assert made.code == 0, made.err
    assert cli.call(*command).json == made.json
    import own_known_net

    monkeypatch.setattr(own_known_net, "make", lambda num_classes: _other(num_classes))
    assert "identity.network_output" in cli.bad(*command)


def _other(classes: int) -> torch.nn.Module:
    """The same layers, another activation."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.GELU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)
    )


def test_a_group_becomes_its_options_and_back():
    seen = []

    @grouped
    def command(*, data: DataOptions, seed: int = 3) -> None:
        seen.append((data, seed))

    command(**dict.fromkeys(("data_root", "limit", "validation", "image_size", "normalization", "flip")),
            imagenet=True, data="mnist", seed=5)  # fmt: skip
    assert seen == [(DataOptions("mnist", imagenet=True), 5)] and seen[0][0].asked == "imagenet"
    with pytest.raises(TypeError, match="option limit is there twice"):

        @grouped
        def twice(*, data: DataOptions, limit: int = 3) -> None:
            pass
