"""Folders of image files, one a class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.data_sets.base import DataSet, Labelled, Source
from bankwise.trainers.data_sets.image_file import SUFFIXES, read_image, read_unless_large
from bankwise.trainers.data_sets.pixels import empty_pixels

IMAGE_SIZE = 64
SPLITS = {  # what a folder may be called, in any case
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
NO_CLASSES = {"__MACOSX", "__pycache__", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir"}
THREADS = min(8, os.cpu_count() or 1)


class ImageFolder(DataSet):
    """PATH/train with a folder a class; PATH/test, or else PATH/val, is the test set; with both, PATH/val validates.

    Hidden files and folders, and those that systems and editors leave, are passed over.
    """

    name = "imagefolder"
    help = "PATH/train/CLASS/IMAGE files"
    takes_path = True
    resizes = True
    flip = True

    def read(self) -> Source:
        assert self.path is not None  # it takes one
        size = IMAGE_SIZE if self.image_size is None else self.image_size
        folders = _splits(self.path)
        if "train" not in folders:
            raise BankwiseError(f"no folder {str(self.path / 'train')!r}: {self.written()} needs {self.help}")
        names, train = _class_folders(folders["train"], size)
        others = {}
        for part in ("test", "val"):
            if part in folders:
                part_names, others[part] = _class_folders(folders[part], size)
                if part_names != names:
                    odd = sorted(set(part_names) ^ set(names))
                    raise BankwiseError(
                        f"{folders[part]} and {folders['train']} differ in classes: {', '.join(odd[:5])}"
                    )
        if len(others) == 2:
            return Source(names, train, others["test"], others["val"])
        return Source(names, train, next(iter(others.values()), None))


def _splits(path: Path) -> dict[str, Path]:
    """The folders of `path` that hold a split: train, val, test."""
    found: dict[str, Path] = {}
    for folder in sorted(path.iterdir()) if path.is_dir() else ():
        for split, names in SPLITS.items():
            if folder.name.lower() in names and folder.is_dir():
                if split in found:
                    raise BankwiseError(
                        f"{str(path)!r} has both {found[split].name!r} and {folder.name!r}: which is the {split} set?"
                    )
                found[split] = folder
    return found


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in NO_CLASSES


def _class_folders(path: Path, size: int) -> tuple[tuple[str, ...], Labelled]:
    """Class names, and the images of a split's folder."""
    files: list[str] = []
    labels: list[int] = []
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not _passed_over(entry.name))
    skipped = [entry.path for entry in os.scandir(path) if entry.is_file()]
    for label, name in enumerate(names):
        if not name.isprintable():
            raise BankwiseError(f"class folder {name!r} of {str(path)!r}: its name has characters that cannot be shown")
        before = len(files)
        for file in _files(path / name):
            base = os.path.basename(file)
            if base.lower().endswith(SUFFIXES) and not _passed_over(base):
                files.append(file)
                labels.append(label)
            else:
                skipped.append(file)
        if len(files) == before:
            raise BankwiseError(f"cannot read image folder {str(path)!r}: no image in {name!r}")
    if not names:
        raise BankwiseError(f"cannot read image folder {str(path)!r}: it has no folder for a class")

    def read(indices: np.ndarray) -> torch.Tensor:
        pixels = empty_pixels((len(indices), 3, size, size))

        def one(place: int) -> int | None:
            image = read_unless_large(files[indices[place]], size)
            if image is None:
                return place
            pixels[place] = image.transpose(2, 0, 1)
            return None

        with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:  # decoding releases the interpreter's lock
            warnings.simplefilter("ignore")  # Pillow's: of sizes, which are checked, and of damaged metadata
            large = [place for place in pool.map(one, range(len(indices))) if place is not None]
            for place in large:  # one after another, in one thread: each thread keeps the memory that it once had
                pixels[place] = read_image(files[indices[place]], size).transpose(2, 0, 1)
        return torch.from_numpy(pixels)

    return tuple(names), Labelled(np.asarray(labels, dtype=np.int64), read, str(path), tuple(sorted(skipped)))


def _files(folder: Path) -> Iterator[str]:
    """All files below a class's folder, in a fixed order. Hidden folders are passed over; links to folders are not
    followed, since they may lead in circles, but given like files."""

    def unreadable(error: OSError) -> None:
        raise BankwiseError(f"cannot read image folder {error.filename!r}: {error.strerror}")

    for place, inner, names in os.walk(folder, onerror=unreadable):
        links = [name for name in inner if os.path.islink(os.path.join(place, name))]
        inner[:] = sorted(name for name in inner if name not in links and not _passed_over(name))
        yield from (os.path.join(place, name) for name in sorted([*names, *links]))
