"""Data sets: splits that never meet, and every unreadable input in one line."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from bankwise.inputs import take
from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.data import data_in_memory, load_data, to_input
from bankwise.trainers.data_sets import DATA_SETS, data_set_help, find_data_set


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


@pytest.fixture(autouse=True)
def no_data_outside(monkeypatch, tmp_path):
    """Data is looked for in an empty folder, and nothing is downloaded."""
    monkeypatch.setenv("BANKWISE_DATA", str(tmp_path))
    monkeypatch.delenv("BANKWISE_DOWNLOAD", raising=False)


def fails(name: str, *parts: str, **options) -> None:
    with pytest.raises(BankwiseError) as caught:
        load_data(name, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_digits_are_scikit_learns_in_three_apart_sets():
    data = load_data("digits")
    test_x, test_y = data.test()
    assert (data.classes, data.input_shape, data.flip, data.crop) == (10, (1, 8, 8), False, 0)
    assert len(data.train_y) + len(data.val_y) + len(test_y) == 1797
    assert len(test_y) == 359 and len(data.val_y) == 240
    assert all(x.dtype == torch.uint8 for x in (data.train_x, data.val_x, test_x))
    assert all(y.dtype == torch.int64 for y in (data.train_y, data.val_y, test_y))
    parts = [rows(x) for x in (data.train_x, data.val_x, test_x)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    original = {
        (np.rint(image * 255 / 16).astype(np.uint8).tobytes(), label)
        for image, label in zip(*load_digits(return_X_y=True), strict=True)
    }
    for x, y in ((data.train_x, data.train_y), (data.val_x, data.val_y), (test_x, test_y)):
        assert {(image.numpy().tobytes(), int(label)) for image, label in zip(x, y, strict=True)} <= original
        assert (torch.bincount(y, minlength=10) > len(y) * 0.08).all()


def test_the_seed_moves_validation_and_nothing_else():
    first, again, other = (load_data("digits", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.train_x, again.train_x) and torch.equal(first.val_y, again.val_y)
    assert rows(first.val_x) != rows(other.val_x)
    assert torch.equal(first.test()[0], other.test()[0])


def test_limit_keeps_the_same_stratified_images_for_every_seed():
    small = [load_data("digits", limit=300, seed=seed) for seed in (0, 1)]
    kept = [rows(data.train_x) | rows(data.val_x) for data in small]
    assert kept[0] == kept[1] and len(kept[0]) == 300
    assert len(small[0].val_y) == 50
    counts = torch.bincount(torch.cat([small[0].train_y, small[0].val_y]))
    assert counts.min() >= 28 and counts.max() <= 32
    assert torch.equal(small[0].test()[0], load_data("digits").test()[0])
    assert len(load_data("digits", limit=10**6).train_y) == 1198


def test_the_validation_share_is_a_sixth_by_default():
    sixth = load_data("digits", limit=300, validation=1 / 6)
    assert len(load_data("digits", limit=300).val_y) == len(sixth.val_y) == 50
    half = load_data("digits", limit=300, validation=0.5)
    assert len(half.val_y) == len(half.train_y) == 150
    assert rows(half.val_x) > rows(load_data("digits", limit=300).val_x)


def test_input_is_in_minus_one_to_one():
    pixels = torch.arange(256, dtype=torch.uint8)
    values = to_input(pixels)
    assert values.dtype == torch.float32
    assert values[0] == -1 and values[255] == 1
    assert torch.allclose(values, torch.linspace(-1, 1, 256), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("digit", ["unknown data set 'digit'", "did you mean digits", "npz:PATH"]),
        ("fashion_mnist", ["did you mean fashion-mnist"]),
        ("npz", ["npz:PATH"]),
        ("npz:", ["npz:PATH"]),
        ("digits:8", ["'digits'"]),
    ],
)
def test_unknown_names(name, parts):
    fails(name, *parts)


def test_bad_options():
    fails("digits", "limit 19", "20 images", limit=19)
    fails("digits", "limit -1", limit=-1)
    fails("digits", "validation share 1:", "between 0 and 1", validation=1.0)
    fails("digits", "validation share 0", validation=0)
    fails("digits", "validation set", validation=1e-6)
    fails("digits", "training set", validation=1 - 1e-6)
    fails("digits", "image size 16", "imagefolder", image_size=16)


def write_npz(path, count=60, classes=3, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (count, 6, 5, 3), dtype=np.uint8),
        "y_train": np.arange(count) % classes,
        "x_test": rng.integers(0, 256, (9, 6, 5, 3), dtype=np.uint8),
        "y_test": np.arange(9) % classes,
        **changes,
    }
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return arrays


def test_npz_layouts_give_the_same_images(tmp_path):
    arrays = write_npz(tmp_path / "nhwc.npz")
    write_npz(
        tmp_path / "nchw.npz",
        x_train=arrays["x_train"].transpose(0, 3, 1, 2),
        x_test=arrays["x_test"].transpose(0, 3, 1, 2),
        y_train=arrays["y_train"][:, None].astype(np.uint8),
    )
    last, first = (load_data(f"npz:{tmp_path / name}.npz") for name in ("nhwc", "nchw"))
    assert last.input_shape == (3, 6, 5) and last.classes == 3 and not last.flip
    assert torch.equal(last.train_x, first.train_x) and torch.equal(last.train_y, first.train_y)
    assert torch.equal(last.test()[0], torch.from_numpy(arrays["x_test"]).permute(0, 3, 1, 2))
    assert torch.equal(last.test()[0], first.test()[0])
    write_npz(tmp_path / "nhw.npz", x_train=arrays["x_train"][..., 0], x_test=arrays["x_test"][..., 0])
    grey = load_data(f"npz:{tmp_path / 'nhw.npz'}")
    assert grey.input_shape == (1, 6, 5)
    assert torch.equal(grey.train_x[:, 0], last.train_x[:, 0])


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"y_test": None}, ["no array y_test"]),
        ({"x_train": np.zeros((60, 6, 5, 3))}, ["x_train", "float64", "uint8"]),
        ({"x_train": np.zeros((60, 30), np.uint8)}, ["x_train", "(60, 30)"]),
        ({"x_train": np.zeros((60, 5, 6, 7), np.uint8)}, ["x_train", "1 to 4 channels"]),
        ({"x_train": np.zeros((0, 6, 5, 3), np.uint8)}, ["x_train", "(0, 6, 5, 3)"]),
        ({"y_train": np.zeros(60)}, ["y_train holds values, y_test classes"]),
        ({"y_train": np.full(60, np.nan)}, ["y_train", "no finite numbers"]),
        ({"y_train": np.zeros(60, complex)}, ["y_train", "complex128", "integers"]),
        ({"y_train": np.full((60, 2), 2)}, ["y_train", "2 labels an image", "each must be 0 or 1"]),
        ({"y_train": np.zeros((60, 2, 2), int)}, ["y_train", "(60, 2, 2)"]),
        ({"y_train": np.zeros(59, int)}, ["y_train", "(59,)", "(60,)"]),
        ({"y_train": np.arange(60) - 1}, ["y_train", "-1..58", "0..59"]),
        ({"y_test": np.arange(9)}, ["y_test", "0..8", "0..2"]),
        ({"x_test": np.zeros((9, 6, 6, 3), np.uint8)}, ["x_test (6, 6, 3)"]),
        ({"y_train": np.array([{}] * 60)}, ["pickle"]),
    ],
)
def test_wrong_npz_arrays(tmp_path, changes, parts):
    path = tmp_path / "wrong.npz"
    write_npz(path, **changes)
    fails(f"npz:{path}", str(path), *parts)


def test_no_npz_or_no_real_one(tmp_path):
    fails(f"npz:{tmp_path / 'none.npz'}", "no such file", "none.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    fails(f"npz:{tmp_path / 'text.npz'}", "text.npz", "expected arrays")
    write_npz(tmp_path / "cut.npz")
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    fails(f"npz:{tmp_path / 'cut.npz'}", "cut.npz")


@pytest.mark.parametrize("labels", [[1, 2, 3], [0, 2], [0, 1, 5]])
def test_labels_that_leave_a_class_out_are_no_classes(tmp_path, labels):
    """1, 2, 3 are not four classes, of which one is never seen."""
    count = len(labels)
    y = np.array(labels)[np.arange(60) % count]
    write_npz(tmp_path / "a.npz", y_train=y, y_test=y[:9])
    line = f"holds labels {labels[0]}..{labels[-1]} of {count} classes, must be 0..{count - 1}, each with an image"
    fails(f"npz:{tmp_path / 'a.npz'}", f"y_train {line}")
    pixels = np.zeros((60, 6, 6), np.uint8)
    for data in ((pixels, y), (pixels, y, pixels[:9], y[:9])):
        with pytest.raises(BankwiseError, match=line):
            data_in_memory(data)


@pytest.mark.parametrize("shape", [(3, 8, 4), (4, 4, 3), (1, 8, 1), (3, 3, 3)])
def test_images_whose_channels_could_be_first_or_last_are_refused(tmp_path, shape):
    """Channels first and a width of at most 4 would be read as channels last."""
    x = np.zeros((60, *shape), np.uint8)
    write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:9])
    fails(
        f"npz:{tmp_path / 'a.npz'}", "a.npz", f"{shape} can be (channels, height, width) or (height, width, channels)"
    )
    with pytest.raises(BankwiseError, match="give grey ones as .images, height, width."):
        data_in_memory((x, np.arange(60) % 3))


@pytest.mark.parametrize("shape", [(8, 4), (4, 8), (1, 1), (3, 3)])
def test_narrow_grey_images_are_read_as_they_are(shape):
    x = np.random.default_rng(0).integers(0, 256, (60, *shape), dtype=np.uint8)
    data = data_in_memory((x, np.arange(60) % 3, x, np.arange(60) % 3))
    assert data.input_shape == (1, *shape) and torch.equal(data.test()[0], torch.from_numpy(x)[:, None])


def test_one_split_alone_is_that_of_the_whole_data():
    whole = load_data("digits", limit=100)
    for name, mine in (("training", (83, 1, 1)), ("validation", (1, 17, 1)), ("test", (1, 1, 359))):
        data = load_data("digits", limit=100, only=name)
        assert (len(data.train_y), len(data.val_y), len(data.test()[1])) == mine
        assert data.identity()["checksums"][name] == whole.identity()["checksums"][name]


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "folder", "flip"), [("mnist", "MNIST", False), ("fashion-mnist", "FashionMNIST", True)]
)
def test_idx_files(tmp_path, name, folder, flip):
    rng = np.random.default_rng(0)
    images = {part: rng.integers(0, 256, (count, 28, 28)) for part, count in (("train", 60), ("t10k", 20))}
    for part, pixels in images.items():
        write_idx(tmp_path / folder / "raw" / f"{part}-images-idx3-ubyte", pixels)
        write_idx(tmp_path / folder / "raw" / f"{part}-labels-idx1-ubyte", np.arange(len(pixels)) % 10)
    data = load_data(name)
    assert (data.classes, data.input_shape, data.flip, data.crop) == (10, (1, 28, 28), flip, 2)
    assert len(data.train_y) == 50 and torch.bincount(data.val_y).tolist() == [1] * 10
    test_x, test_y = data.test()
    assert np.array_equal(test_x[:, 0].numpy(), images["t10k"]) and test_y.tolist() == list(range(10)) * 2
    assert rows(data.train_x) | rows(data.val_x) == {image.astype(np.uint8).tobytes() for image in images["train"]}

    write_idx(tmp_path / folder / "raw" / "t10k-images-idx3-ubyte", np.zeros((3, 3), int))
    fails(name, f"cannot read {name}", "raw")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_missing_files_say_where_they_were_looked_for(tmp_path, name):
    fails(name, f"cannot read {name}", str(tmp_path / "elsewhere"), "BANKWISE_DOWNLOAD=1", root=tmp_path / "elsewhere")
    assert not list(tmp_path.rglob("*.gz"))


def test_cifar_from_an_npz_in_the_root(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(100) % 10
    write_npz(tmp_path / "cifar10.npz", x_train=pixels, y_train=labels, x_test=pixels[:10], y_test=labels[:10])
    data = load_data("cifar10")
    assert (data.name, data.classes, data.flip, data.crop, data.input_shape) == ("cifar10", 10, True, 4, (3, 32, 32))
    write_npz(tmp_path / "cifar10.npz", x_train=pixels, y_train=labels + 1, x_test=pixels[:10], y_test=labels[:10])
    fails("cifar10", "labels 1..10", "0..9")


def write_images(folder, counts, size=(20, 12)):
    """Folder CLASS of images in one grey level a class, 100 apart."""
    for index, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", size, 100 * index + number).save(folder / name / f"{number}.png")


def test_image_folders(tmp_path):
    write_images(tmp_path / "a/train", {"cat": 15, "dog": 15})
    data = load_data(f"imagefolder:{tmp_path / 'a'}", image_size=9)
    assert (data.classes, data.input_shape, data.flip) == (2, (3, 9, 9), True)
    assert [len(data.train_y), len(data.val_y), len(data.test()[1])] == [20, 4, 6]
    for x, y in ((data.train_x, data.train_y), (data.val_x, data.val_y), data.test()):
        assert torch.equal(x[:, 0, 0, 0] >= 100, y == 1)
    assert load_data(f"imagefolder:{tmp_path / 'a'}").input_shape == (3, 64, 64)

    write_images(tmp_path / "a/val", {"cat": 2, "dog": 2})
    data = load_data(f"imagefolder:{tmp_path / 'a'}", image_size=9)
    assert [len(data.train_y), len(data.val_y), len(data.test()[1])] == [25, 5, 4]

    write_images(tmp_path / "a/test", {"cat": 3, "dog": 3})
    data = load_data(f"imagefolder:{tmp_path / 'a'}", image_size=9, limit=10)
    assert [len(data.train_y), len(data.val_y), len(data.test()[1])] == [10, 4, 6]
    fails(f"imagefolder:{tmp_path / 'a'}", "validation share 0.5", "images of its own", validation=0.5)


def test_wrong_image_folders(tmp_path):
    fails(f"imagefolder:{tmp_path / 'none'}", "none/train", "PATH/train/CLASS")
    (tmp_path / "b/train").mkdir(parents=True)
    fails(f"imagefolder:{tmp_path / 'b'}", "cannot read image folder", "b/train")
    write_images(tmp_path / "b/train", {"cat": 12, "dog": 12})
    write_images(tmp_path / "b/test", {"cat": 1, "horse": 1})
    fails(f"imagefolder:{tmp_path / 'b'}", "differ in classes: dog, horse")
    for size in (0, 8193):
        fails(f"imagefolder:{tmp_path / 'b'}", f"image size {size}", "from 1 to 8,192", image_size=size)
    write_images(tmp_path / "c/train", {"cat": 12, "dog": 12})
    (tmp_path / "c/train/cat/3.png").write_bytes(b"not an image")
    fails(f"imagefolder:{tmp_path / 'c'}", "cannot read image", "3.png")


def test_class_names_are_those_of_the_folder_of_torchvision_or_numbers(tmp_path):
    assert load_data("digits").class_names == tuple("0123456789")
    for part, count in (("train", 60), ("t10k", 20)):
        write_idx(tmp_path / "FashionMNIST/raw" / f"{part}-images-idx3-ubyte", np.zeros((count, 28, 28)))
        write_idx(tmp_path / "FashionMNIST/raw" / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    assert load_data("fashion-mnist").class_names[:2] == ("T-shirt/top", "Trouser")
    write_images(tmp_path / "a/train", {"cat": 15, "dog": 15})
    assert load_data(f"imagefolder:{tmp_path / 'a'}", image_size=8).class_names == ("cat", "dog")


def test_flip_is_as_the_data_set_says_unless_it_is_said():
    assert [load_data("digits", flip=flip).flip for flip in (None, True, False)] == [False, True, False]


def test_the_identity_tells_every_change_of_an_image_and_nothing_else():
    data, again = load_data("digits", limit=100), load_data("digits", limit=100)
    assert data.identity() == again.identity()
    assert data.identity()["images"] == {"training": 83, "validation": 17, "test": 359}
    for name, tensors in (("training", data.train_x), ("validation", data.val_y), ("test", data.test()[0])):
        before = data.identity()["checksums"]
        tensors[-1] += 1
        after = data.identity()["checksums"]
        assert {key for key in before if before[key] != after[key]} == {name}


def test_every_kind_says_its_name_and_shape_and_no_two_are_called_alike():
    names = [kind.name for kind in DATA_SETS]
    assert len(set(names)) == len(names) and all(kind.name in data_set_help() for kind in DATA_SETS)
    for kind in DATA_SETS:
        found = find_data_set(kind.written())
        assert found.kind is kind and (found.path is None) == (not kind.takes_path) and not found.users
    data = load_data("digits")
    assert find_data_set("digits").kind.images == (data.input_shape, data.classes)


def test_one_class_and_classes_without_images_are_warned_of():
    x, names = np.zeros((40, 8, 8), np.uint8), ("ant", "bee", "cat", "dog")
    one = data_in_memory((x, np.zeros(40, int)))
    assert "warning: there is one class alone: every image is of it, whatever a network learns" in one.lines()
    assert not any("no training image" in line for line in one.lines())
    full = data_in_memory((x, np.arange(40) % 4))
    assert not any(line.startswith("warning") for line in full.lines())
    gaps = dataclasses.replace(full, train_y=full.train_y * 0 + 2, class_names=names)
    assert "warning: no training image of 3 of the 4 classes: ant, bee, dog" in gaps.lines()


def test_images_are_moved_by_a_share_of_their_shorter_side():
    """Of narrow images crops by a share of the height would leave little, or nothing."""
    labels = np.arange(60) % 3
    for shape, crop in (((49, 10), 0), ((10, 49), 0), ((64, 16), 1), ((32, 32), 4), ((28, 40), 2)):
        assert take("tiny", (np.zeros((60, *shape, 1), np.uint8), labels)).data.crop == crop, shape
