"""What every family of bases offers: the one interface between a layer and how its weight is stored."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import nn

from search_space.errors import BankwiseError
from search_space.part import Part
from search_space.shape import LayerShape

Codes = dict[str, torch.Tensor]  # part name -> int64 codes of the part's shape


@dataclass(frozen=True)
class Operations:
    """Work and memory of a layer for one image. `map_bytes` are float32 maps held besides input and output."""

    multiplications: int
    additions: int
    map_bytes: int = 0


def convolution(shape: LayerShape) -> Operations:
    """An ordinary convolution: n c d_h d_w multiply-adds per output position."""
    macs = shape.weights * shape.positions
    return Operations(macs, macs)


@dataclass(frozen=True)
class Choice(ABC):
    """One setting of a layer. A subclass is a family; its fields are the hyperparameters.

    `scaled` tells whether filters need a stored scale each where no batch norm follows.
    """

    family: ClassVar[str]
    scaled: ClassVar[bool] = True

    def check(self, shape: LayerShape) -> None:  # noqa: B027 (nothing to check is right for some)
        """Raise BankwiseError where the choice is impossible for the layer or can never pay."""

    @abstractmethod
    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """The packed arrays that hold the weight."""

    def paper_bits(self, shape: LayerShape) -> int:
        """What the family's paper counts: the parts marked so."""
        return sum(part.total_bits for part in self.parts(shape) if part.paper)

    @abstractmethod
    def rate(self, shape: LayerShape) -> float:
        """Information bits per weight, the bank apart: log2(k)/(s t_h t_w) for a bank."""

    @abstractmethod
    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> nn.Module:
        """The trainable generator of the weight: called without arguments it gives (n, c, d_h, d_w).

        Its `codes()` are the parts' contents, its `start_from(weight)` fits it to a given weight.
        """

    @abstractmethod
    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Rebuild the float32 weight (n, c, d_h, d_w) from the parts' codes."""

    def check_codes(self, codes: Mapping[str, torch.Tensor]) -> None:  # noqa: B027 (as above)
        """Raise BankwiseError where codes read from a file cannot be."""

    @abstractmethod
    def code(self) -> str:
        """Short ASCII form, as stored in the file; begins with the family's letter."""

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """Cost of running the layer `materialized` or by `merge` (split-transform-merge, where the family has it)."""
        return convolution(shape)

    def to_dict(self) -> dict:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"family": self.family} | {
            name: f"{value[0]}x{value[1]}" if isinstance(value, tuple) else value for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping) -> Choice:
        """Read the fields of this family, strictly: a missing, foreign or ill-typed key is an error."""
        wanted = {field.name: field.metadata.get("least", 1) for field in fields(cls)}
        given = set(values) - {"family"}
        if given != set(wanted):
            wrong = sorted(map(str, given ^ set(wanted)))
            raise BankwiseError(
                f"family {cls.family!r} takes the keys {sorted(wanted) or 'none'}; wrong or missing: {wrong}"
            )
        return cls(**{name: _field(name, values[name], least) for name, least in wanted.items()})

    def __str__(self) -> str:
        settings = " ".join(f"{name}={value}" for name, value in self.to_dict().items() if name != "family")
        return f"{self.family} {settings}".strip()


def _field(name: str, value: object, least: int) -> int | tuple[int, int]:
    if name == "tile":
        match = re.fullmatch(r"(\d+)x(\d+)", str(value))
        if not match:
            raise BankwiseError(f"tile: {value!r} is not HEIGHTxWIDTH, such as 3x3 or 1x3")
        return int(match[1]), int(match[2])
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        wanted = "a positive whole number" if least else "a whole number of at least 0"
        raise BankwiseError(f"{name}: {value!r} is not {wanted}")
    return value
