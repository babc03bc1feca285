"""Data sets that torchvision reads, in its folders below the data root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.data_sets.base import DataSet, Source, arrays, numbered
from bankwise.trainers.data_sets.npz import read_npz


class TorchvisionSet(DataSet):
    """`reader` is torchvision's class. An archive ROOT/NAME.npz is taken in its place, with `archive`."""

    in_root = True
    reader: ClassVar[str]
    archive: ClassVar[bool] = False

    def read(self) -> Source:
        archive = self.root / f"{self.name}.npz"
        if self.archive and archive.exists():
            return read_npz(archive, numbered(self.images[1]) if self.images else None)

        from bankwise.search_space.torchvision_import import import_torchvision

        reader = getattr(import_torchvision().datasets, self.reader)
        download = os.environ.get("BANKWISE_DOWNLOAD") == "1"
        try:
            train, test = (reader(self.root, train=train, download=download) for train in (True, False))
        except Exception as error:  # readers raise RuntimeError, AssertionError, ValueError, URLError, ...
            folder = self.root / getattr(reader, "base_folder", f"{self.reader}/raw")
            raise self._unreadable([archive, folder] if self.archive else [folder], error) from None
        return Source(
            tuple(map(str, train.classes)),
            arrays(np.asarray(train.data), train.targets),
            arrays(np.asarray(test.data), test.targets),
        )

    def _unreadable(self, looked: list[Path], error: Exception) -> BankwiseError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return BankwiseError(
            f"cannot read {self.name}: looked for {' and '.join(map(str, looked))} ({reason.rstrip('.')}); set "
            "BANKWISE_DATA to the folder that holds it, or BANKWISE_DOWNLOAD=1 to download it"
        )


class MNIST(TorchvisionSet):
    name, reader, images = "mnist", "MNIST", ((1, 28, 28), 10)


class FashionMNIST(TorchvisionSet):
    name, reader, images, flip = "fashion-mnist", "FashionMNIST", ((1, 28, 28), 10), True


class CIFAR10(TorchvisionSet):
    name, reader, images, flip, archive = "cifar10", "CIFAR10", ((3, 32, 32), 10), True, True


class CIFAR100(TorchvisionSet):
    name, reader, images, flip, archive = "cifar100", "CIFAR100", ((3, 32, 32), 100), True, True
