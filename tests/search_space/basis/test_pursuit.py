"""The pursuit against trying everything, the fit of a bank against what is known."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.basis.levels import bank_values, coefficient_values, nearest_bank
from bankwise.search_space.basis.pursuit import combine, dense, first_unit, fit_bank, in_units, pursue, scale


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def coefficients(bits: int) -> list[float]:
    return coefficient_values(torch.arange(2**bits), bits).tolist() if bits else [1.0]


def errors(slots, filters, indices, values, unit) -> torch.Tensor:
    return (slots - unit * combine(filters, indices, values)).square().sum(1)


@given(
    k=st.integers(1, 5), d=st.integers(1, 5), bits=st.integers(0, 3), unit=st.sampled_from([0.3, 1.0]),
    seed=st.integers(0, 9999),
)  # fmt: skip
def test_one_term_of_signs_is_the_best_of_all(k, d, bits, unit, seed):
    slots, filters = draw(seed, 6, d), draw(seed + 1, k, d).sign()
    indices, values = pursue(slots, filters, 1, bits, unit)
    best = torch.stack([
        (slots - unit * value * one).square().sum(1) for one in filters for value in coefficients(bits)
    ]).amin(0)  # fmt: skip
    torch.testing.assert_close(errors(slots, filters, indices, values, unit), best, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [0, 1, 2])
def test_two_terms_come_near_the_best_pair(bits):
    slots, filters, unit = draw(0, 300, 6), draw(1, 6, 6).sign(), 0.5
    ways = [
        (torch.tensor(pair).expand(300, 2), torch.tensor(values).expand(300, 2))
        for pair in itertools.combinations(range(6), 2)
        for values in itertools.product(coefficients(bits), repeat=2)
    ]
    best = torch.stack([errors(slots, filters, *way, unit) for way in ways]).amin(0).mean()
    swept, greedy = (errors(slots, filters, *pursue(slots, filters, 2, bits, unit, n), unit).mean() for n in (1, 0))
    assert best <= swept <= greedy <= 1.15 * best
    assert swept <= 1.05 * best


@given(k=st.integers(3, 8), terms=st.integers(2, 3), bits=st.integers(0, 2), seed=st.integers(0, 99))
def test_no_filter_is_taken_twice(k, terms, bits, seed):
    indices, _ = pursue(draw(seed, 20, 5), draw(seed + 1, k, 5), terms, bits, 0.7)
    assert all(len(set(row)) == terms for row in indices.tolist())


@pytest.mark.parametrize("bits", [1, 2])
def test_combinations_of_orthogonal_filters_are_found_exactly(bits):
    filters = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    generator = torch.Generator().manual_seed(0)
    wanted = torch.stack([torch.randperm(4, generator=generator)[:2] for _ in range(50)])
    values = torch.tensor([1.0, -0.5 if bits == 2 else -1.0]).expand(50, 2)
    slots = 0.3 * combine(filters, wanted, values)
    indices, found = pursue(slots, filters, 2, bits, 0.3)
    torch.testing.assert_close(0.3 * combine(filters, indices, found), slots)


def test_a_long_list_of_slots_is_pursued_in_pieces():
    slots, filters = draw(0, 5000, 4), draw(1, 256, 4).sign()
    whole = pursue(slots, filters, 1, 1, 0.5)
    for part, offset in ((slots[:2500], 0), (slots[2500:], 2500)):
        for mine, other in zip(pursue(part, filters, 1, 1, 0.5), whole, strict=True):
            assert torch.equal(mine, other[offset : offset + len(part)])


def test_dense_and_scale():
    indices, values = torch.tensor([[2, 0], [1, 2]]), torch.tensor([[0.5, -1.0], [1.0, 0.25]])
    table = dense(indices, values, 4)
    assert table.tolist() == [[-1, 0, 0.5, 0], [0, 1, 0.25, 0]]
    filters, slots, importance = draw(0, 4, 3), draw(1, 2, 3), torch.tensor([[1.0], [3.0]])
    torch.testing.assert_close(combine(filters, indices, values), table @ filters)
    fitted = table @ filters
    u = scale(slots, fitted, importance)
    best = (importance * (slots - u * fitted).square()).sum()
    for other in (0.99 * u, 1.01 * u):
        assert (importance * (slots - other * fitted).square()).sum() > best
    assert first_unit(slots, filters.sign(), 1) == pytest.approx((slots @ filters.sign().t() / 3).abs().amax(1).mean())


def left(slots: torch.Tensor, importance: torch.Tensor, bank: torch.Tensor, terms: int, bits: tuple[int, int]) -> float:
    filters = bank_values(nearest_bank(bank, bits[0]), bits[0])
    unit = first_unit(slots, filters, bits[1])
    for _ in range(3):
        fitted = combine(filters, *pursue(slots, filters, terms, bits[1], unit))
        unit = scale(slots, fitted, importance)
    return float((importance * (slots - unit * fitted).square()).sum())


CASES = pytest.mark.parametrize(
    ("bits", "terms", "a"), [(1, 1, 0), (1, 1, 1), (2, 1, 1), (4, 1, 2), (1, 2, 2), (2, 2, 1)]
)


@CASES
def test_a_fitted_bank_is_no_worse_than_its_start(bits, terms, a):
    """White slots, which leave a bank little to learn."""
    slots, importance = draw(0, 2000, 9), draw(1, 2000, 1).exp()
    bank, _ = fit_bank(slots, importance, 16, terms, (bits, a), torch.zeros(16, 9))
    assert bank.shape == (16, 9) and (bits == 1 or bank.abs().max() <= 1)
    start = in_units(slots[torch.linspace(0, 1999, 16).long()], bits)
    assert left(slots, importance, bank, terms, (bits, a)) <= 1.01 * left(slots, importance, start, terms, (bits, a))


@CASES
def test_a_fitted_bank_comes_near_the_one_that_made_the_slots(bits, terms, a):
    hidden = in_units(draw(2, 8, 12), bits)
    filters = bank_values(nearest_bank(hidden, bits), bits)
    indices = torch.stack([torch.randperm(8, generator=torch.Generator().manual_seed(i))[:terms] for i in range(1000)])
    values = torch.ones(1000, terms)
    if a:
        values = coefficient_values(torch.randint(2**a, (1000, terms), generator=torch.Generator().manual_seed(0)), a)
    slots, importance = combine(filters, indices, values) + 0.3 * draw(3, 1000, 12), torch.ones(1000, 1)
    bank, _ = fit_bank(slots, importance, 8, terms, (bits, a), torch.zeros(8, 12))
    mine, truth = (left(slots, importance, one, terms, (bits, a)) for one in (bank, hidden))
    assert mine - truth <= 0.12 * (float(slots.square().sum()) - truth)  # of what can be explained


def test_no_filter_of_a_fitted_bank_is_idle():
    slots = draw(0, 400, 8)
    slots[:200] = slots[0]  # half of the starts are one and the same
    bank, unit = fit_bank(slots, torch.ones(400, 1), 16, 1, (2, 1), torch.zeros(16, 8))
    indices, _ = pursue(slots, bank_values(nearest_bank(bank, 2), 2), 1, 1, unit)
    assert len(indices.unique()) >= 14
