import pytest
import torch

from bankwise.search_space.basis.levels import bank_values, coefficient_values, nearest_bank, nearest_coefficient


@pytest.mark.parametrize(
    ("bits", "values"), [(1, [-1, 1]), (2, [-1, -1 / 3, 1 / 3, 1]), (4, [(2 * i - 15) / 15 for i in range(16)])]
)
def test_levels_of_a_bank(bits, values):
    assert bank_values(torch.arange(2**bits), bits).tolist() == pytest.approx(values)


@pytest.mark.parametrize(
    ("bits", "values"),
    [(1, [-1, 1]), (2, [-1, -0.5, 0.5, 1]), (3, [-1, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1])],
)
def test_levels_of_a_coefficient(bits, values):
    assert coefficient_values(torch.arange(2**bits), bits).tolist() == pytest.approx(values)


@pytest.mark.parametrize(
    ("nearest", "values", "bits"),
    [(nearest_bank, bank_values, b) for b in (1, 2, 4)]
    + [(nearest_coefficient, coefficient_values, b) for b in range(1, 9)],
)
def test_no_level_is_nearer_than_the_one_taken(nearest, values, bits):
    x = torch.cat([torch.linspace(-1.7, 1.7, 1001), torch.tensor([0.0, 1e-30, -1e-30])])
    levels = values(torch.arange(2**bits), bits)
    taken = values(nearest(x, bits), bits)
    torch.testing.assert_close((taken - x).abs(), (levels - x[:, None]).abs().amin(1), atol=1e-6, rtol=0)
    assert torch.equal(nearest(levels, bits), torch.arange(2**bits))


@pytest.mark.parametrize("nearest", [nearest_bank, nearest_coefficient])
def test_zero_has_a_sign(nearest):
    assert nearest(torch.tensor([0.0, -0.0]), 1).tolist() == [1, 1]
