"""The closed form against known moments, its limits, and what fitted banks capture of Gaussian weights."""

import math

import pytest
import torch

from bankwise.search_space.basis.capture import captured_share, largest
from bankwise.search_space.families import Sparse, Stacked
from bankwise.search_space.shape import LayerShape

LAYER = LayerShape("conv", "conv2d", 64, 64, (3, 3))


def test_moments_against_known_ones():
    """Means of the largest of 2 and 3 normals are 1/sqrt(pi) and 3/(2 sqrt(pi)); all ranks add up to 0."""
    assert largest(1, 1) == pytest.approx((0, 1), abs=1e-9)
    assert largest(2, 1)[0] == pytest.approx(1 / math.sqrt(math.pi))
    assert largest(3, 1)[0] == pytest.approx(1.5 / math.sqrt(math.pi))
    means, squares = zip(*(largest(7, rank) for rank in range(1, 8)), strict=True)
    assert sum(means) == pytest.approx(0, abs=1e-9) and sum(squares) == pytest.approx(7)


@pytest.mark.parametrize(("count", "rank"), [(16, 1), (16, 2), (64, 3)])
def test_moments_against_samples(count, rank):
    drawn = torch.randn(40_000, count, generator=torch.Generator().manual_seed(0)).sort(1, descending=True).values
    values = drawn[:, rank - 1]
    assert largest(count, rank) == pytest.approx((values.mean().item(), values.square().mean().item()), rel=0.01)


def test_limits():
    """Vast banks capture what a quantizer of each weight does; one term of signs what the stacked formula says."""
    assert captured_share(2**12, 1, 1, 1, 0) == pytest.approx(2 / math.pi, rel=1e-3)
    assert captured_share(2**12, 1, 2, 2, 1) == pytest.approx(1 - (1 - 0.8812) ** 2, rel=1e-3)
    share = largest(16, 1)[0] ** 2 / 1000
    assert captured_share(16, 1000, 1, 1, 0) == pytest.approx(share, rel=1e-2)
    assert captured_share(8, 1000, 1, 1, 1) == captured_share(16, 1000, 1, 1, 0)  # a sign doubles the bank


def test_more_of_anything_captures_more():
    plain = captured_share(16, 36, 1, 1, 1)
    for more in ((32, 36, 1, 1, 1), (16, 18, 1, 1, 1), (16, 36, 2, 1, 1), (16, 36, 1, 2, 1), (16, 36, 1, 1, 2)):
        assert captured_share(*more) > plain


MEASURED = [
    (k, s, tile, *setting)
    for k, s, tile in ((8, 4, (3, 3)), (32, 2, (3, 3)), (32, 1, (3, 3)), (16, 2, (1, 3)), (8, 8, (1, 1)))
    for setting in ((1, 1, 0), (1, 1, 1), (2, 1, 1), (4, 1, 1), (1, 2, 2), (2, 2, 2))
    if s * math.prod(tile) < 18 or setting[0] < 4  # else the bank takes more than a fifth of the bits
]


@pytest.mark.parametrize("values", MEASURED, ids=str)
def test_fitted_banks_capture_a_little_more_and_all_alike(values):
    """1.0 to 1.35 times the closed form, whatever the setting, so that the form compares settings fairly."""
    choice = Sparse(*values)
    bank, *_ = choice.parts(LAYER)
    assert bank.total_bits <= sum(part.total_bits for part in choice.parts(LAYER)) / 5
    corner = values[3:] == (1, 1, 0)
    basis = (Stacked(*values[:3]) if corner else choice).basis(LAYER, torch.Generator().manual_seed(0))
    weight = torch.randn(LAYER.weight_shape, generator=torch.Generator().manual_seed(1))
    basis.start_from(weight)
    fitted = basis().detach()
    along = (weight * fitted).sum((1, 2, 3)).square() / fitted.square().sum((1, 2, 3))
    measured = float(along.sum() / weight.square().sum())
    assert 1.0 <= measured / choice.capture(LAYER) <= 1.35
