"""What of a folder is a class, an image, a split; and what is not."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.data import ImageData, load_data
from bankwise.trainers.data_sets import image_folder, pixels


def write_images(folder, counts):
    """Folder CLASS of images in one grey level a class, 100 apart."""
    for index, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (12, 10), 100 * index + number).save(folder / name / f"{number}.png")


def read(folder, **options) -> ImageData:
    return load_data(f"imagefolder:{folder}", **{"image_size": 8, **options})


def counts(data: ImageData) -> list[int]:
    return [len(data.train_y), len(data.val_y), len(data.test()[1])]


def test_what_systems_and_editors_leave_is_no_class_and_no_image(tmp_path):
    write_images(tmp_path / "train", {"cat": 12, "dog": 12})
    plain = read(tmp_path)
    for name in (".ipynb_checkpoints", "__MACOSX", ".hidden", "@eaDir"):
        write_images(tmp_path / "train", {name: 1})
        write_images(tmp_path / "train" / "cat", {name: 1})
    odd = [tmp_path / "train" / name for name in ("cat/._0.png", "dog/Thumbs.db", "dog/.DS_Store", "readme.txt")]
    for file in odd:
        file.write_bytes(b"not an image")
    data = read(tmp_path)
    assert data.class_names == ("cat", "dog") and data.identity() == plain.identity()
    assert set(data.skipped) == {str(file) for file in odd}
    assert data.lines()[-1].startswith("skipped 4 file(s) that are no images: ") and "..." in data.lines()[-1]
    assert plain.skipped == () and "skipped" not in " ".join(plain.lines())


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Valid"])
def test_every_common_name_of_the_validation_set_is_known(tmp_path, name):
    write_images(tmp_path / "train", {"cat": 12, "dog": 12})
    write_images(tmp_path / name, {"cat": 2, "dog": 2})
    data = read(tmp_path)
    assert counts(data) == [20, 4, 4] and data.origins["test"] == str(tmp_path / name), "the only other set"
    write_images(tmp_path / "test", {"cat": 3, "dog": 3})
    data = read(tmp_path)
    assert counts(data) == [24, 4, 6]
    assert data.origins == {
        "training": str(tmp_path / "train"), "validation": str(tmp_path / name), "test": str(tmp_path / "test")
    }  # fmt: skip


def test_where_each_split_comes_from_is_said(tmp_path):
    write_images(tmp_path / "Training", {"cat": 15, "dog": 15})
    data = read(tmp_path, flip=False)
    off = f"split off the training images of {tmp_path / 'Training'}"
    assert data.lines() == [
        "2 classes (cat, dog); images 3x8x8, symmetric, not flipped",
        f"training: 20 images of 2 classes, {tmp_path / 'Training'}",
        f"validation: 4 images of 2 classes, {off}",
        f"test: 6 images of 2 classes, {off}",
    ]
    few = load_data("digits", limit=20, validation=0.1).lines()
    assert few[0].startswith("10 classes (0, 1, 2, 3, 4, 5, 6, 7, ...); images 1x8x8")
    assert few[2] == "validation: 2 images of only 2 of the 10 classes, split off the training images of digits"


def test_two_names_of_one_split_are_refused(tmp_path):
    write_images(tmp_path / "train", {"cat": 12, "dog": 12})
    for name in ("val", "valid"):
        write_images(tmp_path / name, {"cat": 2, "dog": 2})
    with pytest.raises(BankwiseError, match="both 'val' and 'valid': which is the val set?"):
        read(tmp_path)


def test_an_empty_class_is_named(tmp_path):
    write_images(tmp_path / "train", {"cat": 12, "dog": 0})
    with pytest.raises(BankwiseError, match="no image in 'dog'"):
        read(tmp_path)


def test_names_that_cannot_be_shown(tmp_path):
    write_images(tmp_path / "a/train", {"cat": 12, "d\x1b[1mog": 12})
    with pytest.raises(BankwiseError, match="its name has characters that cannot be shown") as caught:
        read(tmp_path / "a")
    assert "\x1b" not in str(caught.value)
    write_images(tmp_path / "b/train", {"cat": 12, "Größe [b]": 12})
    (tmp_path / "b/train/cat/x\ny\udcff").touch()
    lines = read(tmp_path / "b").lines()
    assert "Größe [b]" in lines[0] and lines[-1].endswith("cat/x?y?")


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    write_images(tmp_path / "train", {"cat": 12, "dog": 12})
    real = image_folder.os.walk

    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", str(folder)))
        return real(folder)

    monkeypatch.setattr(image_folder.os, "walk", walk)
    with pytest.raises(BankwiseError, match="cannot read image folder .*cat'?: Permission denied"):
        read(tmp_path)


def test_a_link_in_a_circle_ends(tmp_path):
    write_images(tmp_path / "train", {"cat": 12, "dog": 12})
    (tmp_path / "train" / "cat" / "again").symlink_to(tmp_path / "train", target_is_directory=True)
    data = read(tmp_path)
    assert sum(counts(data)) == 24 and data.skipped == (str(tmp_path / "train/cat/again"),)


def test_many_pixels_lie_in_a_file_and_are_the_same(tmp_path, monkeypatch):
    write_images(tmp_path / "train", {"cat": 12, "dog": 12})
    inside = read(tmp_path)
    monkeypatch.setattr(pixels, "IN_MEMORY_BYTES", 3 * 8 * 8 * 15)  # of the training images alone there are more
    mapped = []
    real = pixels.np.memmap
    monkeypatch.setattr(pixels.np, "memmap", lambda *args, **names: mapped.append(names) or real(*args, **names))
    outside = read(tmp_path)
    assert [one["shape"] for one in mapped] == [(16, 3, 8, 8)]
    assert outside.identity() == inside.identity() and torch.equal(outside.train_x, inside.train_x)


def test_large_images_are_read_like_small_ones(tmp_path, monkeypatch):
    write_images(tmp_path / "train", {"cat": 12, "dog": 12})
    Image.new("L", (40, 40), 7).save(tmp_path / "train/cat/3.png")
    before = read(tmp_path)
    real = image_folder.read_unless_large
    monkeypatch.setattr(image_folder, "read_unless_large", lambda file, size: real(file, size, most=12 * 10))
    assert read(tmp_path).identity() == before.identity()


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    write_images(tmp_path / "train", {"cat": 12, "dog": 12})
    monkeypatch.setattr(pixels, "IN_MEMORY_BYTES", 1)
    monkeypatch.setattr(pixels.os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(BankwiseError, match=r"bytes once decoded find no room in .* \(No space left\); set TMPDIR"):
        read(tmp_path)
