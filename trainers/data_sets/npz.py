"""Arrays in a NumPy archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line
from bankwise.trainers.data_sets.base import DataSet, Source, arrays, check_arrays, check_labels, classes_of
from bankwise.trainers.labels import kind_of

NAMES = ("x_train", "y_train", "x_test", "y_test")


class Npz(DataSet):
    name = "npz"
    help = "arrays " + ", ".join(NAMES)
    takes_path = True

    def read(self) -> Source:
        assert self.path is not None  # it takes one
        return read_npz(self.path)


def read_npz(path: Path, class_names: tuple[str, ...] | None = None) -> Source:
    """The archive's images; without class names the training labels say how many classes there are.

    Raises BankwiseError where the file is no archive, lacks an array, or holds one of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in NAMES if name not in archive.files]
            found = {} if missing else {name: archive[name] for name in NAMES}
    except FileNotFoundError:
        raise BankwiseError(f"no such file: {str(path)!r}, expected an .npz with {', '.join(NAMES)}") from None
    except Exception as error:  # np.load raises ValueError, BadZipFile, EOFError, zlib.error, ... for a damaged file
        raise BankwiseError(
            f"cannot read {str(path)!r} as .npz ({error_line(error)}): "
            f"expected arrays {', '.join(NAMES)} without pickle"
        ) from None
    if missing:
        raise BankwiseError(f"{path} has no array {', '.join(missing)}: it must hold {', '.join(NAMES)}")
    x_train, y_train, x_test, y_test = (found[name] for name in NAMES)
    return from_arrays(str(path), x_train, y_train, x_test, y_test, class_names)


def from_arrays(
    where: str,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    class_names: tuple[str, ...] | None = None,
) -> Source:
    """A source of checked arrays; `where` names them in errors."""
    y_train = check_arrays(where, "x_train", "y_train", x_train, y_train)
    y_test = check_arrays(where, "x_test", "y_test", x_test, y_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise BankwiseError(
            f"{where}: images of x_train are {x_train.shape[1:]}, of x_test {x_test.shape[1:]}: must be of one shape"
        )
    if kind_of(y_train) != kind_of(y_test):
        raise BankwiseError(f"{where}: y_train holds {kind_of(y_train)}, y_test {kind_of(y_test)}: must be alike")
    class_names = class_names or classes_of(where, "y_train", y_train)
    for name, labels in (("y_train", y_train), ("y_test", y_test)):
        check_labels(where, name, labels, len(class_names))
    try:
        return Source(class_names, arrays(x_train, y_train), arrays(x_test, y_test))
    except BankwiseError as error:
        raise BankwiseError(f"{where}: {error}") from None
