"""Errors a user can cause. Each is one line: what is wrong, the offending value, what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BankwiseError(ValueError):
    """Bad input. The command line prints it as one line and ends with `exit_code`."""

    exit_code = 2


class InfeasibleBudget(BankwiseError):
    """No plan fits the budget; raised before anything is trained."""

    exit_code = 3


def unknown(kind: str, value: object, allowed: Iterable[str]) -> BankwiseError:
    """The error for a name that is not one of `allowed`, with the nearest right names first."""
    names = list(allowed)
    near = difflib.get_close_matches(str(value), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return BankwiseError(f"unknown {kind} {str(value)!r}: {hint}known: {', '.join(names)}")
