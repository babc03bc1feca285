"""One image file as RGB pixels: every depth in its own range, transparent pixels over white, upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bankwise.search_space.errors import BankwiseError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".pbm", ".pnm", ".bmp", ".tif", ".tiff", ".webp", ".gif")
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")  # a name says nothing: no other decoder may be reached
MAX_SIDE = 2**13  # of the images that they become
MAX_PIXELS = MAX_SIDE**2  # 67 million: more in an image, or in it once scaled, would exhaust the memory
MANY_PIXELS = 2**24  # more are not decoded beside another image
BACKGROUND = (255, 255, 255)  # white, under transparent pixels
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF


def read_image(path: str | Path, size: int) -> np.ndarray:
    """The first frame, uint8 (size, size, 3): the shorter side scaled to `size`, the middle cut out.

    EXIF's orientation is obeyed. 16-bit images keep their upper 8 bits, rounded, floats are in [0, 1], transparent
    pixels lie over BACKGROUND. Raises BankwiseError, in one line, for a damaged file, one of over MAX_PIXELS, and one
    whose range is not known (32-bit integers).
    """
    pixels = read_unless_large(path, size, MAX_PIXELS)
    if pixels is None:
        raise BankwiseError(f"cannot read image {str(path)!r}: of more than {MAX_PIXELS:,} pixels")
    return pixels


def read_unless_large(path: str | Path, size: int, most: int = MANY_PIXELS) -> np.ndarray | None:
    """The same; None, before anything is decoded, for an image of more than `most` pixels."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > most:
                return None
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return np.array(_on_background(_scaled(_eight_bit(image), size)).convert("RGB"))
    except BankwiseError as error:
        raise BankwiseError(f"cannot read image {str(path)!r}: {error}") from None
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError, struct.error, ... for damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BankwiseError(f"cannot read image {str(path)!r}: {reason}") from None


def pixels_of(image: Image.Image) -> np.ndarray:
    """An opened image as it is: uint8 (height, width), or (height, width, 3). Raises BankwiseError as `read_image`."""
    return np.array(_on_background(_eight_bit(image)))


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image in mode L, RGB or RGBA."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_levels(image))
    clear = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    mode = "RGBA" if clear else "L" if image.mode == "L" else "RGB"
    return image if image.mode == mode else image.convert(mode)  # which would copy


def _levels(image: Image.Image) -> np.ndarray:
    """Grey values of more than 8 bits as uint8."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    if values.dtype == np.float32:
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # neither holds of NaN
            raise BankwiseError(f"floating-point values {low:g} to {high:g}, must lie in 0 to 1")
        levels: np.ndarray = np.rint(values * np.float32(255)).astype(np.uint8)
    elif image.mode == "I" and image.format == "TIFF":
        raise BankwiseError("32-bit integers, whose range is not known; save it with 8 or 16 bits")
    else:  # PNG and PGM are scaled to 16 bits by Pillow
        top = 2 ** int(tags.get(_BITS_PER_SAMPLE, (16,))[0]) - 1
        table = np.rint(np.arange(2**16) * (255 / top)).clip(0, 255).astype(np.uint8)
        levels = table[values.clip(0, 2**16 - 1)]
    return 255 - levels if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else levels


def _scaled(image: Image.Image, size: int) -> Image.Image:
    """As torchvision's Resize and CenterCrop do it."""
    short, long = sorted(image.size)
    if size * size * (long / short) > MAX_PIXELS:
        raise BankwiseError(f"{image.width}x{image.height} pixels are too long and narrow for {size}x{size}")
    width, height = (size * side // short for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def _on_background(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (*BACKGROUND, 255)), image).convert("RGB")
