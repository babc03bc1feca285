"""What NNI hands about, {layer: value}, to plans and back. Every point decodes to a plan within the budget."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Mapping, Sequence
from functools import cached_property

from search_space.errors import BankwiseError, unknown
from strategies.budgeted import BudgetedSpace
from strategies.encodings import BOX, ChoiceEncoding, ImportanceEncoding
from strategies.scores import log_capture

Indices = tuple[int, ...]


class Points:
    """Points over `space`: `choice` (a choice's code a layer, such as S32.4.3x3) and `importance` (a number a layer).

    A point says by its values which of the two it is.
    """

    def __init__(self, space: BudgetedSpace):
        self.space = space
        self.names = space.space.names
        self.codes = [[choice.code() for choice in space.choices(i)] for i in range(len(self.names))]
        self._places = [{code: place for place, code in enumerate(row)} for row in self.codes]

    @cached_property
    def _importance(self) -> ImportanceEncoding:
        return ImportanceEncoding(self.space, log_capture(self.space))

    def search_space(self, encoding: str) -> dict[str, dict]:
        """In NNI's terms."""
        if encoding == "importance":
            return {name: {"_type": "uniform", "_value": list(BOX)} for name in self.names}
        return {name: {"_type": "choice", "_value": row} for name, row in zip(self.names, self.codes, strict=True)}

    def decode(self, point: object) -> Indices:
        """The plan that a trial of the point trains: indices among the space's choices."""
        values = self._values(point)
        if all(isinstance(value, str) for value in values):
            wish = [self._place(i, code) for i, code in enumerate(values)]
            return _tuple(ChoiceEncoding(self.space).decode(wish))
        if all(_is_number(value) for value in values):
            return _tuple(self._importance.decode(values))
        raise BankwiseError(f"{reprlib.repr(point)} is neither a choice's code nor a finite number for every layer")

    def encode(self, indices: Sequence[int]) -> dict[str, str]:
        return {name: row[i] for name, row, i in zip(self.names, self.codes, indices, strict=True)}

    def text(self, indices: Sequence[int]) -> str:
        """One line, as metrics carry it: `0.0=B 1.0=S4.8.1x3`."""
        return " ".join(f"{name}={code}" for name, code in self.encode(indices).items())

    def read(self, text: str) -> Indices:
        """The plan of such a line, as it stands; an error where it is not in the space or over its budget."""
        pairs = [word.rpartition("=") for word in text.split()]
        values = self._values({name: code for name, _, code in pairs})
        found = tuple(self._place(i, code) for i, code in enumerate(values))
        if not self.space.fits(found):
            raise BankwiseError(f"plan {text!r} exceeds the budget of {self.space.budget}")
        return found

    def kept(self, search_space: object) -> list[list[int]]:
        """What a search space of choices, edited by its user, leaves of each layer."""
        rows = self._values(search_space)
        found = []
        for i, row in enumerate(rows):
            codes = row.get("_value") if isinstance(row, Mapping) and row.get("_type") == "choice" else None
            if not isinstance(codes, list) or not codes:
                raise BankwiseError(f"layer {self.names[i]!r}: {reprlib.repr(row)} is not a choice among codes")
            found.append(sorted({self._place(i, code) for code in codes}))
        return found

    def _values(self, point: object) -> list:
        if not isinstance(point, Mapping) or not point:
            raise BankwiseError(f"{reprlib.repr(point)} is not a value for every layer: {', '.join(self.names)}")
        for name in point:
            if name not in self.names:
                raise unknown("layer", name, self.names)
        missing = [name for name in self.names if name not in point]
        if missing:
            raise BankwiseError(f"{reprlib.repr(dict(point))} has no value for layer {missing[0]!r}")
        return [point[name] for name in self.names]

    def _place(self, layer: int, code: object) -> int:
        place = self._places[layer].get(code) if isinstance(code, str) else None
        if place is None:
            near = difflib.get_close_matches(str(code), self.codes[layer], n=3, cutoff=0)
            raise BankwiseError(
                f"layer {self.names[layer]!r}: choice {reprlib.repr(code)} is not in the search space; "
                f"near it are {', '.join(near)}"
            )
        return place


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _tuple(indices: Sequence[int]) -> Indices:
    return tuple(int(i) for i in indices)
