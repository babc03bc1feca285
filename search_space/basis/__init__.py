"""The families of bases. A new family is a subclass of `Choice` in a file of its own, named here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from search_space.basis.binary import Binary
from search_space.basis.choice import Choice, Codes, Operations
from search_space.basis.composite import Composite
from search_space.basis.floating import Float
from search_space.basis.integer import Integer
from search_space.basis.sparse import Sparse
from search_space.basis.stacked import Stacked
from search_space.basis.subbit import Subbit
from search_space.basis.tiled import Tiled
from search_space.errors import BankwiseError, unknown

FAMILIES: dict[str, type[Choice]] = {
    family.family: family for family in (Stacked, Sparse, Binary, Integer, Float, Composite, Tiled, Subbit)
}
_LETTERS: dict[str, type[Choice]] = {
    "S": Stacked, "P": Sparse, "B": Binary, "I": Integer, "F": Float, "C": Composite,
    "T": Tiled, "U": Subbit,
}  # fmt: skip


def choice_from_dict(values: object) -> Choice:
    """Read a choice as plans write it, such as {family: stacked, k: 32, s: 4, tile: 3x3}."""
    if not isinstance(values, Mapping) or "family" not in values:
        raise BankwiseError(f"{values!r} is not a choice; it needs a family, such as {{family: binary}}")
    if not isinstance(values["family"], str) or values["family"] not in FAMILIES:
        raise unknown("family", values["family"], FAMILIES)
    return FAMILIES[values["family"]].from_dict(values)


def choice_from_code(text: str) -> Choice:
    """Read a choice as the file's header writes it, such as S32.4.3x3."""
    if not re.fullmatch(r"[A-Z][0-9.x]*", text) or text[0] not in _LETTERS:
        raise BankwiseError(f"{text!r} is not a choice's code")
    try:
        return _LETTERS[text[0]].from_code(text[1:])
    except ValueError:
        raise BankwiseError(f"{text!r} is not a choice's code") from None


__all__ = [
    "FAMILIES", "Binary", "Choice", "Codes", "Composite", "Float", "Integer", "Operations", "Sparse", "Stacked",
    "Subbit", "Tiled", "choice_from_code", "choice_from_dict",
]  # fmt: skip
