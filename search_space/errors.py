"""Errors a user can cause. Each is one line: what is wrong, the offending value, what would be right."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

MOST_INTEGER_BITS = 512  # of a number in a file: about 150 digits


class BankwiseError(ValueError):
    """Bad input. The command line prints it as one line and ends with `exit_code`."""

    exit_code = 2


class InfeasibleBudget(BankwiseError):
    """No plan fits the budget; raised before anything is trained."""

    exit_code = 3


def unknown(kind: str, value: object, allowed: Iterable[str]) -> BankwiseError:
    """The error for a name that is not one of `allowed`, with the nearest right names first."""
    names = list(allowed)
    shown = short(value) if isinstance(value, str) else repr(short(value))
    near = difflib.get_close_matches(shown.strip("'"), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return BankwiseError(f"unknown {kind} {shown}: {hint}known: {', '.join(names)}")


def short(value: object) -> str:
    """`repr` on one line, cut where it is long: every value of a user in an error line goes through it.

    >>> short(["a"] * 1000)
    "['a', 'a', 'a', 'a', 'a', 'a', ...]"
    """
    text = " ".join(_SHORT.repr(value).split())
    return text if len(text) <= 200 else f"{text[:100]}...{text[-40:]}"


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 80
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 3, 6, 6, 6

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > MOST_INTEGER_BITS:  # Python itself refuses to write very long ones
            return f"a number of about {int(x.bit_length() * 0.30103)} digits"
        return super().repr_int(x, level)


_SHORT = _Short()
