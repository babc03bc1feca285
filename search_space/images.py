"""What images a network is for: how their pixels enter and what the classes are called."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass

import torch

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.normalization import IMAGENET, NORMALIZATIONS, SYMMETRIC, to_input

_LETTERS = {SYMMETRIC: "S", IMAGENET: "I"}
_UNKNOWN, _DIGITS = "-", 6


@dataclass(frozen=True)
class Images:
    """`normalization` is a name of `search_space.normalization`, `class_names` are in the order of the labels, `digest`
    is of these. None: not known; of class names a file knows the digest alone."""

    normalization: str | None = None
    class_names: tuple[str, ...] | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.normalization is not None and self.normalization not in NORMALIZATIONS:
            raise unknown("normalization", self.normalization, NORMALIZATIONS)
        if self.class_names is not None:
            object.__setattr__(self, "digest", _digest(self.class_names))

    @property
    def code(self) -> str:
        """As a file's header holds it: always as long, so that no size depends on it."""
        letter = _UNKNOWN if self.normalization is None else _LETTERS[self.normalization]
        return letter + (_UNKNOWN * _DIGITS if self.digest is None else self.digest)

    @classmethod
    def of_code(cls, code: str) -> Images:
        """Raises ValueError for what is no code."""
        names = {letter: name for name, letter in _LETTERS.items()} | {_UNKNOWN: None}
        letter, digest = code[:1], code[1:]
        if letter not in names or not re.fullmatch(rf"[0-9a-f]{{{_DIGITS}}}|-{{{_DIGITS}}}", digest):
            raise ValueError(f"{code!r} describes no images")
        return cls(names[letter], digest=None if digest[0] == _UNKNOWN else digest)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        names = None if self.class_names is None else list(self.class_names)
        return {"normalization": self.normalization, "class_names": names}

    def to_input(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 pixels (..., channels, height, width) to what the network takes, float32.

        Raises BankwiseError where the normalization is not known.
        """
        if self.normalization is None:
            raise BankwiseError("how pixels enter this network is not recorded: give it float32 images, normalized")
        return to_input(pixels, self.normalization)

    def check(self, given: Images, what: str, other: str) -> None:
        """BankwiseError, naming `what` these images are of and `other` that is `given`, unless both are alike as far as
        they are known. Labels in place of names are names of nothing, and fit all."""
        mine, theirs = self.normalization, given.normalization
        if None not in (mine, theirs) and mine != theirs:
            raise BankwiseError(f"{what} was made with normalization {mine}, as it records, not {theirs}")
        if self.digest is None or given.digest is None or self.digest == given.digest:
            return
        names = given.class_names or self.class_names or ()
        if _digest(tuple(map(str, range(len(names))))) in (self.digest, given.digest):
            return
        if self.class_names is None or given.class_names is None:
            odd = f"not {', '.join(map(repr, names[:5]))}" + (", ..." if len(names) > 5 else "")
        else:
            pairs = zip(self.class_names, given.class_names, strict=False)
            odd = next((f"{a!r}, not {b!r}" for a, b in pairs if a != b), f"{len(self.class_names)}, not {len(names)}")
        raise BankwiseError(f"{what} was trained on other classes than {other} has: {odd}")


def _digest(class_names: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(class_names).encode()).hexdigest()[:_DIGITS]


def ramp(shape: tuple[int, int, int], device: torch.device | str = "cpu") -> torch.Tensor:
    """One image (1, channels, height, width) whose values rise from -1 to 1: for where any image will do."""
    return torch.linspace(-1, 1, math.prod(shape), device=device).reshape(1, *shape)
