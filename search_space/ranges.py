"""Numbers that a setting can have: one check and one wording for all settings."""

from __future__ import annotations

from bankwise.search_space.errors import BankwiseError

COUNT = 2**31 - 1  # the most of anything that is counted
SEED = 2**32 - 1  # the largest seed: every generator of random numbers takes it, and a run's seeds beyond it


def in_range(low: float, high: float = COUNT, **values: float | None) -> None:
    """Raises BankwiseError for a value that is not from `low` to `high`; None is none.

    >>> in_range(1, workers=2, final_workers=None)
    """
    for name, value in values.items():
        if value is None or low <= value <= high:
            continue
        right = f"at most {high:,}" if value > high else f"at least {low:,}"
        raise BankwiseError(f"{name}={value} must be {right}")


def above_zero(**values: float) -> None:
    """Raises BankwiseError for a value that is no finite number above 0."""
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise BankwiseError(f"{name}={value} must be a finite number above 0")
