"""Where images come from: each reader gives labels and a way to read pixels, and knows nothing of splits."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from search_space.errors import BankwiseError, unknown

# torchvision's class, classes, whether a mirrored image keeps its label
TORCHVISION_SETS = {
    "mnist": ("MNIST", 10, False),
    "fashion-mnist": ("FashionMNIST", 10, True),
    "cifar10": ("CIFAR10", 10, True),
    "cifar100": ("CIFAR100", 100, True),
}
DATA_SETS = ("digits", *TORCHVISION_SETS, "imagefolder:PATH", "npz:PATH")
FOLDER_IMAGE_SIZE = 64


@dataclass(frozen=True)
class Labelled:
    """Labels (N,) int64, and `read(indices)`: uint8 pixels (len(indices), channels, height, width)."""

    labels: np.ndarray
    read: Callable[[np.ndarray], torch.Tensor]


@dataclass(frozen=True)
class Source:
    """A data set as it lies on disk. Where `test` or `validation` is None it is to be split off `train`."""

    classes: int
    flip: bool
    train: Labelled
    test: Labelled | None = None
    validation: Labelled | None = None


def open_source(name: str, root: Path, image_size: int | None) -> Source:
    """The source called `name` (one of DATA_SETS); `image_size` is for image folders alone."""
    kind, _, path = name.partition(":")
    if kind not in {known.partition(":")[0] for known in DATA_SETS}:
        raise unknown("data set", name, DATA_SETS)
    takes_path = kind in ("imagefolder", "npz")
    if takes_path != bool(path):
        right = f"{kind}:PATH" if takes_path else kind
        raise BankwiseError(f"data set {name!r}: write {right!r}")
    if image_size is not None and kind != "imagefolder":
        raise BankwiseError(f"image size {image_size} for {name!r}: only images of imagefolder:PATH are resized")
    if kind == "digits":
        return _digits()
    if kind == "npz":
        return _npz(Path(path).expanduser(), flip=False)
    if kind == "imagefolder":
        return _folder(Path(path).expanduser(), FOLDER_IMAGE_SIZE if image_size is None else image_size)
    return _torchvision(kind, root)


def _arrays(pixels: np.ndarray, labels: object) -> Labelled:
    """Pixels uint8 (N, H, W), (N, H, W, C) or (N, C, H, W); of two possible channel axes the last is taken."""
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.shape[-1] <= 4:
        pixels = pixels.transpose(0, 3, 1, 2)
    return Labelled(
        np.asarray(labels, dtype=np.int64), lambda indices: torch.from_numpy(np.ascontiguousarray(pixels[indices]))
    )


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # grey levels 0..16
    return Source(10, False, _arrays(pixels, digits.target))


def _torchvision(name: str, root: Path) -> Source:
    cls, classes, flip = TORCHVISION_SETS[name]
    archive = root / f"{name}.npz"
    if name.startswith("cifar") and archive.exists():
        return _npz(archive, flip, classes)

    from search_space.torchvision_import import import_torchvision

    data_set = getattr(import_torchvision().datasets, cls)
    download = os.environ.get("BANKWISE_DOWNLOAD") == "1"
    folder = getattr(data_set, "base_folder", f"{cls}/raw")
    try:
        train, test = (data_set(root, train=train, download=download) for train in (True, False))
    except Exception as error:  # torchvision's readers raise RuntimeError, AssertionError, ValueError, URLError, ...
        looked = f"{archive} and {root / folder}" if name.startswith("cifar") else str(root / folder)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BankwiseError(
            f"cannot read {name}: looked for {looked} ({reason.rstrip('.')}); set BANKWISE_DATA to the folder that "
            f"holds it, or BANKWISE_DOWNLOAD=1 to download it"
        ) from None
    return Source(
        classes,
        flip,
        _arrays(np.asarray(train.data), train.targets),
        _arrays(np.asarray(test.data), test.targets),
    )


def _npz(path: Path, flip: bool, classes: int | None = None) -> Source:
    """Arrays x_train, y_train, x_test, y_test; without `classes` there are as many as the largest label says."""
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            arrays = {} if missing else {name: archive[name] for name in names}
    except FileNotFoundError:
        raise BankwiseError(f"no such file: {str(path)!r}, expected an .npz with {', '.join(names)}") from None
    except Exception as error:  # np.load raises ValueError, BadZipFile, EOFError, zlib.error, ... for a damaged file
        raise BankwiseError(
            f"cannot read {str(path)!r} as .npz ({error}): expected arrays {', '.join(names)} without pickle"
        ) from None
    if missing:
        raise BankwiseError(f"{path} has no array {', '.join(missing)}: it must hold {', '.join(names)}")
    for part in ("train", "test"):
        arrays[f"y_{part}"] = _check_arrays(path, part, arrays[f"x_{part}"], arrays[f"y_{part}"])
    shapes = [arrays[name].shape[1:] for name in ("x_train", "x_test")]
    if shapes[0] != shapes[1]:
        raise BankwiseError(f"{path}: images of x_train are {shapes[0]}, of x_test {shapes[1]}: must be of one shape")
    classes = classes or int(arrays["y_train"].max()) + 1
    for name in ("y_train", "y_test"):
        low, high = int(arrays[name].min()), int(arrays[name].max())
        if low < 0 or high >= classes:
            raise BankwiseError(f"{path}: {name} holds labels {low}..{high}, must lie in 0..{classes - 1}")
    return Source(
        classes, flip, _arrays(arrays["x_train"], arrays["y_train"]), _arrays(arrays["x_test"], arrays["y_test"])
    )


def _check_arrays(path: Path, part: str, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels, as (N,); an error unless pixels and labels are of the right kind and of one length."""
    if pixels.dtype != np.uint8:
        raise BankwiseError(f"{path}: x_{part} is {pixels.dtype}, must be uint8 (pixels 0..255)")
    if not (pixels.ndim == 3 or (pixels.ndim == 4 and min(pixels.shape[1], pixels.shape[3]) <= 4)) or not pixels.size:
        raise BankwiseError(
            f"{path}: x_{part} has shape {pixels.shape}, must be (images, height, width), (images, height, width, "
            f"channels) or (images, channels, height, width) with 1 to 4 channels"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise BankwiseError(f"{path}: y_{part} is {labels.dtype}, must be integers")
    if labels.shape not in ((len(pixels),), (len(pixels), 1)):
        raise BankwiseError(
            f"{path}: y_{part} has shape {labels.shape}, must be ({len(pixels)},) as x_{part} has images"
        )
    return labels.reshape(-1)


def _folder(path: Path, size: int) -> Source:
    """PATH/train with a folder a class; PATH/test, or else PATH/val, is the test set; with both, PATH/val validates."""
    if size < 1:
        raise BankwiseError(f"image size {size}: must be at least 1")
    if not (path / "train").is_dir():
        raise BankwiseError(f"no folder {str(path / 'train')!r}: imagefolder:PATH needs PATH/train/CLASS/IMAGE files")
    names, train = _class_folders(path / "train", size)
    others = {}
    for part in ("test", "val"):
        if (path / part).is_dir():
            part_names, others[part] = _class_folders(path / part, size)
            if part_names != names:
                odd = sorted(set(part_names) ^ set(names))
                raise BankwiseError(f"{path / part} and {path / 'train'} differ in classes: {', '.join(odd[:5])}")
    if len(others) == 2:
        return Source(len(names), True, train, others["test"], others["val"])
    return Source(len(names), True, train, next(iter(others.values()), None))


def _class_folders(path: Path, size: int) -> tuple[list[str], Labelled]:
    """Class names and images: the shorter side scaled to `size`, the middle cut out, RGB."""
    from search_space.torchvision_import import import_torchvision

    torchvision = import_torchvision()
    from torchvision.transforms import v2

    try:
        folder = torchvision.datasets.ImageFolder(path)
    except FileNotFoundError as error:
        raise BankwiseError(f"cannot read image folder {str(path)!r}: {str(error).splitlines()[0]}") from None
    prepare = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor()])

    def one(index: int) -> torch.Tensor:
        file = folder.samples[index][0]
        try:
            return prepare(folder.loader(file))
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged files
            raise BankwiseError(f"cannot read image {file!r}: {error}") from None

    def read(indices: np.ndarray) -> torch.Tensor:
        with ThreadPoolExecutor() as pool:  # decoding releases the interpreter's lock
            return torch.stack(list(pool.map(one, indices.tolist())))

    return folder.classes, Labelled(np.asarray(folder.targets, dtype=np.int64), read)
