"""Data sets by name, one file a kind: a kind is added by its class here and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.imports import import_class, importable
from bankwise.trainers.data_sets.base import DataSet, Labelled, Source, arrays, numbered
from bankwise.trainers.data_sets.digits import Digits
from bankwise.trainers.data_sets.image_file import MAX_SIDE
from bankwise.trainers.data_sets.image_folder import ImageFolder
from bankwise.trainers.data_sets.npz import Npz
from bankwise.trainers.data_sets.torchvision_sets import CIFAR10, CIFAR100, MNIST, FashionMNIST

DATA_SETS: tuple[type[DataSet], ...] = (Digits, MNIST, FashionMNIST, CIFAR10, CIFAR100, ImageFolder, Npz)
USERS = "package.module:Name"


def data_set_names() -> list[str]:
    """Every data set as a user writes it."""
    return [*(kind.written() for kind in DATA_SETS), USERS]


def data_set_help() -> str:
    """Every data set, with a few words on it."""
    return (
        ", ".join(f"{kind.written()} ({kind.help})" if kind.help else kind.written() for kind in DATA_SETS)
        + f", or your own {USERS}"
    )


class Found(NamedTuple):
    """A kind of data set, what a user calls it, and the path that follows (None: none does)."""

    kind: type[DataSet]
    reference: str
    path: Path | None

    @property
    def users(self) -> bool:
        """Whether it is a user's own code."""
        return ":" in self.reference


def find_data_set(name: str) -> Found:
    """What `name` names: NAME, NAME:PATH, or a user's `package.module:Name`, where another `:PATH` may follow. Raises
    BankwiseError for anything else."""
    known = {kind.name: kind for kind in DATA_SETS}
    reference, _, path = name.partition(":")
    if reference in known:
        kind = known[reference]
    else:
        own, _, path = path.partition(":")
        if not own or not importable(reference):
            raise unknown("data set", name, data_set_names())
        reference = f"{reference}:{own}"
        kind = import_class("data set", reference, DataSet)
    if kind.takes_path != bool(path):
        raise BankwiseError(f"data set {name!r}: write {reference + (':PATH' if kind.takes_path else '')!r}")
    return Found(kind, reference, Path(path).expanduser() if path else None)


def open_data_set(name: str, root: Path, image_size: int | None = None) -> DataSet:
    """The data set called `name`; `image_size` is for those that resize. Raises BankwiseError."""
    kind, _, path = find_data_set(name)
    if image_size is not None:
        if not kind.resizes:
            resizing = ", ".join(one.written() for one in DATA_SETS if one.resizes)
            raise BankwiseError(f"image size {image_size} for {name!r}: only images of {resizing} are resized")
        if not 1 <= image_size <= MAX_SIDE:
            raise BankwiseError(f"image size {image_size}: must be from 1 to {MAX_SIDE:,}")
    return kind(path, root, image_size)


__all__ = [
    "DATA_SETS",
    "DataSet",
    "Labelled",
    "Source",
    "arrays",
    "data_set_help",
    "data_set_names",
    "find_data_set",
    "numbered",
    "open_data_set",
]
