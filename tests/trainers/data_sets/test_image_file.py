"""Image files of every depth and kind, each against the values that were written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.torchvision_import import import_torchvision
from bankwise.trainers.data import data_in_memory
from bankwise.trainers.data_sets.image_file import pixels_of, read_image, read_unless_large

SIDE = 8
RAMP = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
DEEP = (RAMP * 1040).astype(np.uint16)  # up to 65,520
GREY = np.rint(DEEP / 65535 * 255).astype(np.uint8)


def grey(path) -> np.ndarray:
    """Its one channel, which all three must be."""
    pixels = read_image(path, SIDE)
    assert pixels.dtype == np.uint8 and pixels.shape == (SIDE, SIDE, 3)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_keep_their_upper_eight(tmp_path, name):
    Image.fromarray(DEEP).save(tmp_path / name)
    assert np.array_equal(grey(tmp_path / name), GREY)


def test_white_is_zero_in_a_tiff_that_says_so(tmp_path):
    Image.fromarray(65535 - DEEP).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert np.array_equal(grey(tmp_path / "a.tif"), GREY)


def test_a_pgm_of_twelve_bits_is_scaled_by_its_own_maximum(tmp_path):
    values = (RAMP * 65).astype(">u2")  # up to 4,095
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 4095\n" + values.tobytes())
    assert np.array_equal(grey(tmp_path / "a.pgm"), np.rint(RAMP * 65 / 4095 * 255).astype(np.uint8))


def test_floats_are_shares_of_white(tmp_path):
    Image.fromarray((DEEP / 65535).astype(np.float32)).save(tmp_path / "a.tif")
    assert np.array_equal(grey(tmp_path / "a.tif"), GREY)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (RAMP.astype(np.float32), "floating-point values 0 to 63, must lie in 0 to 1"),
        (np.full((8, 8), np.nan, np.float32), "floating-point values nan to nan"),
        ((RAMP - 1).astype(np.float32) / 64, "floating-point values -0.015625 to"),
        (RAMP.astype(np.int32), "32-bit integers, whose range is not known; save it with 8 or 16 bits"),
    ],
)
def test_values_of_an_unknown_range_are_refused(tmp_path, values, words):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(BankwiseError, match=f"a.tif'?: {words}"):
        read_image(tmp_path / "a.tif", SIDE)


def test_transparent_pixels_lie_over_white(tmp_path):
    """alpha * colour + (1 - alpha) * 255, whatever colour lies below full transparency."""
    alpha = np.array([0, 51, 128, 255] * 16, np.uint8).reshape(8, 8)
    colour = np.full((8, 8), 100, np.uint8)
    expected = np.rint(colour * (alpha / 255) + 255 * (1 - alpha / 255))
    Image.fromarray(np.dstack([colour] * 3 + [alpha])).save(tmp_path / "rgba.png")
    Image.merge("LA", [Image.fromarray(colour), Image.fromarray(alpha)]).save(tmp_path / "la.png")
    for name in ("rgba.png", "la.png"):
        assert np.abs(grey(tmp_path / name) - expected).max() <= 1, name


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_one_transparent_colour_is_white(tmp_path, mode):
    image = Image.fromarray(np.where(RAMP < 32, 10, 200).astype(np.uint8)).convert(mode)
    clear = (10, 10, 10) if mode == "RGB" else image.getpixel((0, 0))
    image.save(tmp_path / "a.png", transparency=clear)
    assert np.array_equal(grey(tmp_path / "a.png"), np.where(RAMP < 32, 255, 200))


def test_one_bit_is_black_and_white_and_cmyk_is_converted(tmp_path):
    Image.fromarray(RAMP % 2 == 0).save(tmp_path / "a.png")
    assert np.array_equal(grey(tmp_path / "a.png"), np.where(RAMP % 2 == 0, 255, 0))
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", SIDE)[0, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(tmp_path, orientation):
    upright = np.zeros((8, 8), np.uint8)
    upright[0, :], upright[:, 0] = 90, 200
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(grey(tmp_path / "a.png"), upright)


def test_the_middle_is_scaled_as_torchvision_does(tmp_path):
    import_torchvision()
    import_torchvision()
    from torchvision.transforms import v2

    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    prepare = v2.Compose([v2.Resize(9), v2.CenterCrop(9), v2.PILToTensor()])
    expected = prepare(Image.fromarray(pixels)).permute(1, 2, 0).numpy()
    assert np.array_equal(read_image(tmp_path / "a.png", 9), expected)


def bomb(width: int, height: int) -> bytes:
    """The header of a BMP of that size, without its pixels."""
    fields = [(54, 4), (40, 4), (width, 4), (height, 4), (1, 2), (24, 2), *[(0, 4)] * 6]
    return b"BM" + bytes(8) + b"".join(value.to_bytes(size, "little") for value, size in fields)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cannot identify"),
        (b"not an image", "cannot identify"),
        (bomb(60000, 60000), "pixels"),
        (bomb(9000, 9000), "of more than 67,108,864 pixels"),
        (bomb(2**31 - 1, 1), "pixels"),
        (bomb(100, 100), "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n", "cannot identify"),
        (b"II*\0\x08\0\0\0\xff\xff", ""),
        (b"GIF89a\x08\0\x08\0\xf7\0\0", ""),
        (b"P5 8 8 65535\n", ""),
    ],
)
def test_damaged_files_and_bombs_are_one_line(tmp_path, data, words, recwarn):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(BankwiseError, match=f"cannot read image .*a.png'?: .*{words}") as caught:
        read_image(tmp_path / "a.png", SIDE)
    assert "\n" not in str(caught.value)


def test_a_long_narrow_image_is_not_scaled_beyond_the_memory(tmp_path):
    Image.new("L", (60000, 1)).save(tmp_path / "a.png")
    with pytest.raises(BankwiseError, match="60000x1 pixels are too long and narrow for 64x64"):
        read_image(tmp_path / "a.png", 64)


@pytest.mark.filterwarnings("ignore")
def test_every_cut_and_every_changed_byte_of_a_header_is_an_image_or_one_line(tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
    for suffix in ("png", "bmp", "tif", "gif", "jpg", "ppm", "webp"):
        image.save(tmp_path / f"a.{suffix}")
        whole = (tmp_path / f"a.{suffix}").read_bytes()
        damaged = [whole[:cut] for cut in rng.integers(0, len(whole), 20)]
        for place in rng.integers(0, min(len(whole), 120), 60):
            damaged.append(whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :])
        for data in damaged:
            (tmp_path / "b").write_bytes(data)
            try:
                assert read_image(tmp_path / "b", SIDE).shape == (SIDE, SIDE, 3)
            except BankwiseError as error:
                assert "\n" not in str(error)


def test_large_images_are_left_for_later(tmp_path):
    Image.new("L", (9, 8), 3).save(tmp_path / "a.png")
    assert read_unless_large(tmp_path / "a.png", SIDE, most=71) is None
    assert np.array_equal(read_unless_large(tmp_path / "a.png", SIDE, most=72), read_image(tmp_path / "a.png", SIDE))


@pytest.mark.parametrize("label", [1.5, "cat", torch.tensor([0.0, 1.0]), None])
def test_a_label_of_a_torch_data_set_is_a_whole_number(label):
    class Set(torch.utils.data.Dataset):
        def __len__(self):
            return 60

        def __getitem__(self, index):
            return Image.new("L", (9, 9)), label if index == 3 else index % 2

    with pytest.raises(BankwiseError, match="the label of image 3 is .*, not a whole number"):
        data_in_memory(Set())


def test_images_of_a_torch_data_set_are_read_alike():
    """A palette's colours, not its indices; no fourth channel."""
    palette = Image.new("P", (9, 9), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert pixels_of(palette)[0, 0].tolist() == [10, 200, 30]

    class Set(torch.utils.data.Dataset):
        def __len__(self):
            return 60

        def __getitem__(self, index):
            return (palette if index % 2 else Image.new("RGBA", (9, 9), (0, 0, 0, 0))), index % 2

    data = data_in_memory(Set())
    colours = {0: [255] * 3, 1: [10, 200, 30]}
    assert data.input_shape == (3, 9, 9)
    assert all(x[:, 4, 4].tolist() == colours[int(y)] for x, y in zip(data.train_x, data.train_y, strict=True))
