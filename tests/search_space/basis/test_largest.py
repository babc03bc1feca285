"""The largest of each row against a search by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.basis.largest import largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@given(st.lists(st.lists(st.integers(-3, 3), min_size=5, max_size=5), max_size=6), st.integers(0, 3))
def test_the_first_of_the_largest(dtype, rows, left_out):
    """Few values, so that many are equal; also of a slice of columns, and of rows that need a gradient."""
    values = torch.tensor(rows, dtype=dtype).reshape(-1, 5).requires_grad_()
    found = largest(values[:, left_out:])
    assert found.dtype == torch.int64 and not found.requires_grad
    assert found.tolist() == [row[left_out:].index(max(row[left_out:])) for row in rows]
