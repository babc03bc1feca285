"""Folders of images and .npz archives."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from bankwise.trainers.data import load_data
from fuzz.kinds.kind import Kind
from fuzz.mutate import damaged

FORMATS = ("png", "jpeg", "bmp", "gif", "tiff", "ppm", "webp")
MODES = ("L", "RGB", "RGBA", "P", "1", "I;16", "I", "F", "LA", "CMYK")


class ImageFolders(Kind):
    """One image of eight is damaged, or its header names another size."""

    name = "images"

    def __init__(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        self.files: list[tuple[str, bytes]] = []
        for form in FORMATS:
            for mode in MODES:
                stream, image = io.BytesIO(), Image.fromarray(pixels)
                made = (
                    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
                )
                try:
                    made.save(stream, form)
                except (OSError, ValueError):  # a format without this mode
                    continue
                self.files.append((f"x.{form}", stream.getvalue()))

    def write(self, place: Path, rng: Random) -> None:
        self.fresh(place)
        for number in range(8):
            name, data = rng.choice(self.files)
            path = place / "train" / f"class{number % 2}" / f"{number}-{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._spoiled(data, rng) if number == 3 else data)

    @staticmethod
    def _spoiled(data: bytes, rng: Random) -> bytes:
        if rng.randrange(2):
            return damaged(data, rng)
        made, at = bytearray(data), rng.randrange(min(len(data), 60))  # where headers hold sizes
        made[at : at + 2] = rng.choice((b"\xff\xff", b"\xff\x7f", b"\0\0", b"\x7f\xff"))
        return bytes(made)

    def read(self, place: Path) -> None:
        load_data(f"imagefolder:{place}", image_size=8).test()


class Archives(Kind):
    """Arrays of other types and shapes, and damaged archives."""

    name = "archives"
    TYPES = ("uint8", "int8", "uint16", "int64", "float16", "float32", "float64", "bool", "complex64", "U3", "M8[s]")
    SHAPES = (
        (12, 8, 8),
        (12, 8, 8, 3),
        (12, 3, 8, 8),
        (12, 8),
        (12,),
        (),
        (0, 8, 8),
        (12, 0, 8),
        (12, 1, 1, 1, 1),
        (12, 4, 8, 8),
    )

    def write(self, place: Path, rng: Random) -> None:
        arrays = {}
        for name in ("x_train", "x_test"):
            arrays[name] = self._array(
                rng, rng.choice(self.SHAPES[:3]) if rng.randrange(3) else rng.choice(self.SHAPES)
            )
        for name in ("y_train", "y_test"):
            arrays[name] = (
                np.arange(12) % 3
                if rng.randrange(3)
                else self._array(rng, rng.choice(((12,), (11,), (12, 1), (12, 3))))
            )
        if rng.randrange(6) == 0:
            del arrays[rng.choice(list(arrays))]
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays) if rng.randrange(2) else np.savez(stream, **arrays)
        data = stream.getvalue()
        (self.fresh(place) / "data.npz").write_bytes(damaged(data, rng) if rng.randrange(2) else data)

    def _array(self, rng: Random, shape: tuple[int, ...]) -> np.ndarray:
        kind = rng.choice(self.TYPES) if rng.randrange(3) == 0 else "uint8"
        values = np.random.default_rng(rng.randrange(100)).integers(0, 3, shape)
        if kind == "float32" and values.size and rng.randrange(2):
            return np.where(values == 0, np.nan, values).astype(np.float32)
        return values.astype(kind)

    def read(self, place: Path) -> None:
        load_data(f"npz:{place / 'data.npz'}").test()
