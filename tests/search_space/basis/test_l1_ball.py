"""The projection against a quadratic programme, its optimality conditions, and its gradient against differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, minimize

from bankwise.search_space.basis.l1_ball import L1Ball

radii = st.sampled_from([0.1, 0.7, 1.0, 2.5, 10.0])


def draw(rows: int, k: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, k, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def by_quadratic_programme(v: np.ndarray, radius: float) -> np.ndarray:
    """min |p - n - v|^2 over p, n >= 0 with sum p + n <= radius, by a general solver."""
    k = len(v)
    found = minimize(
        lambda x: np.square(x[:k] - x[k:] - v).sum(),
        np.zeros(2 * k),
        jac=lambda x: 2 * np.concatenate([x[:k] - x[k:] - v, v - x[:k] + x[k:]]),
        bounds=[(0, None)] * (2 * k),
        constraints=[LinearConstraint(np.ones(2 * k), -np.inf, radius)],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.x[:k] - found.x[k:]


@settings(max_examples=40)
@given(k=st.integers(1, 7), radius=radii, seed=st.integers(0, 9999))
def test_it_is_the_solution_of_the_quadratic_programme(k, radius, seed):
    v = draw(1, k, seed)
    wanted = by_quadratic_programme(v[0].numpy(), radius)
    np.testing.assert_allclose(L1Ball.apply(v, radius)[0].numpy(), wanted, atol=2e-5)


@given(k=st.integers(1, 60), rows=st.integers(1, 8), radius=radii, seed=st.integers(0, 9999))
def test_optimality_conditions(k, rows, radius, seed):
    """One threshold t >= 0 a row: what is kept lost t, what is dropped was at most t; t > 0 only on the ball's surface.
    And the inequality that characterizes a projection, <v - w, u - w> <= 0, at every corner u of the ball."""
    v = draw(rows, k, seed)
    for before, after in zip(v, L1Ball.apply(v, radius), strict=True):
        lost, kept = before.abs() - after.abs(), after != 0
        assert after.abs().sum() <= radius * (1 + 1e-12)
        assert (after * before >= 0).all()
        if before.abs().sum() <= radius:
            assert torch.equal(after, before)
            continue
        assert after.abs().sum().item() == pytest.approx(radius)
        threshold = lost[kept].mean()
        assert threshold > 0 and kept.any()
        torch.testing.assert_close(lost[kept], threshold.expand(int(kept.sum())))
        assert (before.abs()[~kept] <= threshold + 1e-12).all()
        corners = torch.cat([torch.eye(k), -torch.eye(k)]).double() * radius
        assert ((corners - after) @ (before - after)).max() <= 1e-9


@settings(max_examples=25)
@given(k=st.integers(1, 6), radius=radii, seed=st.integers(0, 9999))
def test_its_gradient_is_exact(k, radius, seed):
    v = draw(3, k, seed).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: L1Ball.apply(x, radius), v, eps=1e-7, atol=1e-5)


def test_equal_entries_share_the_ball():
    v = torch.tensor([[1.0, -1.0, 1.0, 1.0], [3.0, 3.0, 0.0, 0.0]])
    assert L1Ball.apply(v, 2.0).tolist() == [[0.5, -0.5, 0.5, 0.5], [1.0, 1.0, 0.0, 0.0]]


def test_a_worked_case():
    """(5, 3, 1) onto radius 4: two stay, t = (5 + 3 - 4)/2 = 2."""
    v = torch.tensor([[5.0, -3.0, 1.0]], requires_grad=True)
    w = L1Ball.apply(v, 4.0)
    assert w.tolist() == [[3.0, -1.0, 0.0]]
    (w * torch.tensor([1.0, 2.0, 7.0])).sum().backward()
    assert v.grad.tolist() == [[1.5, 1.5, 0.0]]  # the mean of 1 and -2 along the signs is -0.5
