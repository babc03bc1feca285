"""Augmentation against cutting each image out by hand."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bankwise.trainers.augment import Augmentation


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(2, 7), st.integers(2, 7), st.integers(0, 3), st.booleans(), st.integers(0, 99))
def test_each_image_is_its_own_crop(channels, height, width, crop, flip, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(1, 256, (9, channels, height, width), dtype=torch.uint8, generator=generator)
    draws = Augmentation.draw(20, crop, flip, generator)
    indices = torch.randperm(20, generator=generator)[:9]
    got = draws.apply(pixels, indices)
    assert got.dtype == torch.uint8 and got.shape == pixels.shape
    padded = torch.zeros(9, channels, height + 2 * crop, width + 2 * crop, dtype=torch.uint8)
    padded[:, :, crop : crop + height, crop : crop + width] = pixels
    for image, index in enumerate(indices.tolist()):
        row, column = int(draws.rows[index]), int(draws.columns[index])
        wanted = padded[image, :, row : row + height, column : column + width]
        assert torch.equal(got[image], wanted.flip(2) if draws.mirrored[index] else wanted)


def test_draws_are_spread_evenly():
    draws = Augmentation.draw(9000, 1, True, torch.Generator().manual_seed(0))
    for offsets in (draws.rows, draws.columns):
        assert (torch.bincount(offsets) - 3000).abs().max() < 200 and len(offsets.unique()) == 3
    assert abs(int(draws.mirrored.sum()) - 4500) < 200
    assert abs(float(torch.corrcoef(torch.stack([draws.rows.float(), draws.columns.float()]))[0, 1])) < 0.05
    assert not Augmentation.draw(9000, 1, False, torch.Generator()).mirrored.any()


def test_alternating_flips_show_each_image_both_ways():
    generator = torch.Generator().manual_seed(0)
    draws = [Augmentation.draw(4000, 1, True, generator).alternating(7, epoch) for epoch in range(4)]
    assert abs(int(draws[0].mirrored.sum()) - 2000) < 150
    for before, after in zip(draws, draws[1:], strict=False):
        assert torch.equal(before.mirrored, ~after.mirrored) and not torch.equal(before.rows, after.rows)
    other = Augmentation.draw(4000, 1, True, generator).alternating(8, 0)
    assert 1800 < int((other.mirrored != draws[0].mirrored).sum()) < 2200
