"""What a family of bases is: the one interface between a layer and how its weight is stored, searched and priced."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from bankwise.search_space.basis.generator import Basis
from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.families.fitter import Fitter
from bankwise.search_space.families.in_c import MergedBank, Packed, Plane, plane_of_codes
from bankwise.search_space.families.mixer import Mixer, Rounding
from bankwise.search_space.families.uniform_rule import SameChoice, UniformRule
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.vector import VECTORS, Vectors

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings

MOST = 10**9  # above every field of a choice
Codes = dict[str, torch.Tensor]  # part name -> int64 codes of the part's shape


@dataclass(frozen=True)
class Operations:
    """Work and memory of a layer for one image. `map_bytes` are float32 maps beside input and output."""

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

    `vectors` names how the layer's scales and shifts are stored, those of the batch norm behind it among them: one of
    `search_space.vector.VECTORS`, or None, as the plan's `vector_bits` say.

    Of the family itself:

    - `family`: its name in plans; `letter`: what begins its code in files, A to Z, of its own; `summary`: one line;
    - `kinds`: the names by which a layer may list it; its own name where there is no other;
    - `scaled`: whether filters need a stored scale each where no batch norm follows;
    - `mixer`: how its choices take part in the supernet's mixture of weights;
    - `conversion`: what a conversion without training tries of it: `every` choice that it has, a `few` of them, spread
      over the bytes, and only where little else fits, or none (`never`); `fitter`: how it fits them;
    - `uniform`: what the layers of a uniform plan have in common.
    """

    vectors: str | None = field(default=None, kw_only=True)

    family: ClassVar[str]
    letter: ClassVar[str]
    summary: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ()
    scaled: ClassVar[bool] = True
    mixer: ClassVar[type[Mixer]] = Rounding
    conversion: ClassVar[Literal["every", "few", "never"]] = "every"
    fitter: ClassVar[type[Fitter]] = Fitter
    uniform: ClassVar[UniformRule] = SameChoice()

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "family" in vars(cls) and "kinds" not in vars(cls):
            cls.kinds = (cls.family,)

    @classmethod
    def offered(cls, layer: LayerShape, kind: str, settings: SpaceSettings) -> Sequence[Choice]:
        """The choices that the layer has by this kind. One without hyperparameters, where a family says no more."""
        return [cls()]

    def check(self, shape: LayerShape) -> None:  # noqa: B027 (nothing to check is right for some)
        """Raises:
        BankwiseError: the choice is impossible for the layer or can never pay.
        """

    @property
    def bare(self) -> Choice:
        """The same, without a word on vectors."""
        return self if self.vectors is None else replace(self, vectors=None)

    def stored(self, vector_bits: int) -> Vectors:
        """How the layer's vectors are stored in a plan of these `vector_bits`."""
        return VECTORS[f"v{vector_bits}" if self.vectors is None else self.vectors]

    def has_vectors(self, shape: LayerShape) -> bool:
        """Whether there are any whose storage it decides: those of a batch norm, scales of its filters, or a bias."""
        return bool(shape.norm) or (not shape.normalized and (self.scaled or shape.bias))

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
    def capture(self, shape: LayerShape) -> float:
        """Share of a Gaussian weight's energy that the best scaled choice has, in closed form, in (0, 1]."""

    def kernel_parts(self, shape: LayerShape) -> int | None:
        """The parts that its tile cuts the kernel into; None for a family without tiles."""
        return None

    @property
    def bank_size(self) -> tuple[int, int]:
        """The (k, s) that it sees of a bank which all choices of a layer share."""
        return 1, 1

    def proxies(self, shape: LayerShape) -> int:
        """The trainable numbers of its basis, about."""
        return shape.weights

    @abstractmethod
    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> Basis:
        """The trainable generator of the weight: called without arguments it gives (n, c, d_h, d_w).

        Its `codes()` are the parts' contents, its `start_from(weight)` fits it to a given weight.
        """

    def fitted_basis(self, shape: LayerShape, weight: torch.Tensor) -> Basis:
        """The basis fitted to a trained weight."""
        basis = self.basis(shape, torch.Generator().manual_seed(0))
        basis.start_from(weight)
        return basis

    def rounded(self, latent: torch.Tensor) -> torch.Tensor:
        """The latent weight (n, c, d_h, d_w) as the choice rounds it, at its best scale, as the `Rounding` mixer asks.

        Raises:
            NotImplementedError: the family has another mixer, or cannot take part in a supernet.
        """
        raise NotImplementedError(f"family {self.family!r} does not say how it rounds a latent weight")

    def inherit(self, basis: Basis, latent: torch.Tensor, bank: torch.Tensor, weight: torch.Tensor) -> None:
        """Set `basis` to what the choice is in a supernet's layer: `latent` and `bank` are the layer's, `weight` is
        what its mixer makes of them. Scales do not count."""
        basis.start_from(latent)

    @abstractmethod
    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Rebuild the float32 weight (n, c, d_h, d_w) from the parts' codes."""

    def check_codes(self, codes: Mapping[str, torch.Tensor]) -> None:  # noqa: B027 (as above)
        """Raises:
        BankwiseError: codes read from a file cannot be.
        """

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """Cost of running the layer `materialized` or by `merge` (split-transform-merge, where the family has it)."""
        return convolution(shape)

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        """How C unpacks the weight. A family whose one part has a code a weight, in equal steps, need not say it.

        Raises:
            BankwiseError: C cannot.
        """
        return plane_of_codes(self, shape, packed)

    def merged_in_c(self, shape: LayerShape, packed: Packed) -> MergedBank | None:
        """The bank by which C may run the layer by split-transform-merge; None: it cannot."""
        return None

    @classmethod
    def reference(cls) -> str | None:
        """`module:Name` of a family that is not part of the project; None of one that is."""
        return None if cls.__module__.startswith(f"{__package__}.") else f"{cls.__module__}:{cls.__qualname__}"

    def code(self) -> str:
        """Short ASCII form, as the file's header holds it: the letter, or `module:Name/` where the family is a user's
        own, then the fields, then what it says of vectors."""
        reference = self.reference()
        return (self.letter if reference is None else f"{reference}/") + self.fields_code() + (self.vectors or "")

    def fields_code(self) -> str:
        """Digits, dots and `x`: the fields in their order, such as 32.4.3x3."""
        return ".".join(_written(getattr(self, name)) for name in self.own_fields())

    @classmethod
    def from_fields_code(cls, text: str) -> Choice:
        """Raises:
        ValueError: `text` is not the fields of this family.
        """
        wanted, values = cls.own_fields(), text.split(".") if text else []
        if len(values) != len(wanted):
            raise ValueError(text)
        return cls(*(_read(name, value) for name, value in zip(wanted, values, strict=True)))

    @classmethod
    def own_fields(cls) -> dict[str, int]:
        """The least value of each hyperparameter by its name, in their order."""
        return {one.name: one.metadata.get("least", 1) for one in fields(cls) if one.name != "vectors"}

    def label(self) -> str:
        """As a report names it."""
        return str(self)

    def to_dict(self) -> dict[str, Any]:
        """As plans write it: the family, its `values`, and what is said of vectors."""
        said = {} if self.vectors is None else {"vectors": self.vectors}
        return {"family": self.reference() or self.family} | self.values() | said

    def values(self) -> dict[str, Any]:
        """The fields of this family, JSON-ready."""
        values = {name: getattr(self, name) for name in self.own_fields()}
        return {name: f"{one[0]}x{one[1]}" if isinstance(one, tuple) else one for name, one in values.items()}

    def saying(self, vectors: object) -> Choice:
        """The same, with its vectors stored so.

        Raises:
            BankwiseError: that is no name of a storage.
        """
        if not isinstance(vectors, str) or vectors not in VECTORS:
            raise BankwiseError(f"vectors: {short(vectors)} is not one of {', '.join(VECTORS)}")
        return replace(self, vectors=vectors)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Choice:
        """Read the fields of this family, strictly.

        Raises:
            BankwiseError: a missing, foreign or ill-typed key.
        """
        wanted = cls.own_fields()
        given = set(values) - {"family"}
        if given != set(wanted):
            wrong = short(sorted(map(str, given ^ set(wanted))))
            raise BankwiseError(
                f"family {cls.family!r} takes the keys {sorted(wanted) or 'none'}; wrong or missing: {wrong}"
            )
        given_fields: dict[str, Any] = {name: _field(name, values[name], least) for name, least in wanted.items()}
        return cls(**given_fields)

    def __str__(self) -> str:
        settings = " ".join(f"{name}={value}" for name, value in self.to_dict().items() if name != "family")
        return f"{self.family} {settings}".strip()


def _written(value: int | tuple[int, int]) -> str:
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else str(value)


def _read(name: str, text: str) -> int | tuple[int, int]:
    if name == "tile":
        height, width = text.split("x")
        return int(height), int(width)
    return int(text)


def _field(name: str, value: object, least: int) -> int | tuple[int, int]:
    if name == "tile":
        match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", value, re.ASCII) if isinstance(value, str) else None
        if not match:
            raise BankwiseError(f"tile: {short(value)} is not HEIGHTxWIDTH, such as 3x3 or 1x3")
        return int(match[1]), int(match[2])
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < MOST:
        wanted = "a positive whole number" if least else "a whole number of at least 0"
        raise BankwiseError(f"{name}: {short(value)} is not {wanted} below 10^9")
    return value
