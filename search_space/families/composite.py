"""Composite binary planes, some of them factorized over GF(2) (Qiaoben et al., AAAI 2019, arXiv 1811.06668).

A weight is a sign and a level of J bits, so J binary planes of h x w, h = n d_h and w = c d_w. The lowest `raw` planes
are stored as they are; the higher ones, which few large weights fill, are each stored as two binary matrices (h, rank)
and (rank, w) whose product modulo 2 they are. Together, with ranks c_i,

    h w (raw + 1) + sum over i of c_i (h + w) bits.

The ranks depend on the weights, the price must not: so the ranks are fields of the choice. `resolve` decomposes a
trained weight, without training, and gives the choice that its planes need, which is what plans hold; a choice that is
given before the training caps the ranks, its planes being padded to them. Either way the bytes follow from the choice
and the shape. Without `ranks` it is the plain quantizer of sign and J = `raw` bits, the paper's fallback.

The paper scales a layer as a whole; here each filter is divided by its root mean square (without factorized planes by
its largest weight), since a scale of each filter is in the norm behind it, or in the file, anyway.

Worked example: n=64, c=64, 3x3, so h = w = 192; raw=3, ranks=(40, 6): 36,864 * 4 + 46 * 384 = 165,120 bits, 4.48 bits
per weight, where six bits of plain planes take 221,184.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from bankwise.search_space.basis.decomposition import MOST_PLANES, Magnitudes, levels
from bankwise.search_space.basis.gaussian import bits_capture
from bankwise.search_space.basis.gf2 import factorize
from bankwise.search_space.basis.latent import LatentWeight
from bankwise.search_space.basis.planes import capped, filter_scales, magnitudes
from bankwise.search_space.basis.straight import Fixed
from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.families.choice import MOST, Choice, Codes, Operations, convolution
from bankwise.search_space.families.fitter import Fitter
from bankwise.search_space.families.in_c import Packed, Plane
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings


class Decomposer:
    """Decompositions of one trained weight (n, c, d_h, d_w); the thresholds of its bottlenecks are found once.

    Without `per_filter` the whole layer has one scale, as in the paper.
    """

    def __init__(self, weight: torch.Tensor, per_filter: bool = True):
        self.weight, self.per_filter = weight.detach().cpu(), per_filter
        self._plain, self._factorized = (self._magnitudes(Composite(2, ranks)) for ranks in ((), (1,)))

    def _magnitudes(self, choice: Composite) -> Magnitudes:
        scale = filter_scales(self.weight, bool(choice.ranks)) if self.per_filter else torch.ones(())
        return Magnitudes(magnitudes(self.weight, scale))

    def resolve(self, planes: int, bottleneck: float) -> tuple[Composite, float]:
        """The choice for the paper's J = `planes` and bottleneck, and its step. Lossless but for the rounding: the
        ranks are those that the planes have."""
        step, raw, ranks = self._factorized.decomposed(planes, bottleneck)
        choice = Composite(raw, ranks)
        return choice, step if ranks else self._plain.uniform_step(raw)

    def _source(self, choice: Composite) -> Magnitudes:
        return self._factorized if choice.ranks else self._plain

    def sizes(self, choice: Composite, step: float, filters: torch.Tensor) -> torch.Tensor:
        """The magnitudes of these filters of the weight that `codes` hold."""
        source = self._source(choice).matrix.reshape(self.weight.shape)[filters]
        return levels(source, step, choice.planes).div_(choice.largest)

    def codes(self, choice: Composite, step: float) -> Codes:
        level = levels(self._source(choice).matrix, step, choice.planes)
        return choice.encode(level, (self.weight < 0).reshape(level.shape))


PLANES = range(2, 8)  # the paper's J: three to eight bits a weight, the sign included
BOTTLENECKS = (0.03, 0.1, 0.2, 0.4)


class CompositeFitter(Fitter):
    """Decompositions of the trained weight; the thresholds of its bottlenecks are found once."""

    resolves = True

    def __init__(self, layer: LayerShape, weight: torch.Tensor, per_filter: bool = True):
        super().__init__(layer, weight, per_filter)
        self._steps: dict[Composite, float] = {}
        self._open: Decomposer | None = None

    @property
    def _decomposer(self) -> Decomposer:
        self._open = self._open or Decomposer(self.weight, self.per_filter)
        return self._open

    @staticmethod
    def cheapest(layer: LayerShape) -> Sequence[Composite]:
        """A weight takes its sign's bit at least."""
        return [Composite(0, (0,))]

    def choices(self) -> list[Composite]:
        """What the weight's planes need at every J and bottleneck, less what takes more bits for a coarser step."""
        every = {self.resolve(planes, bottleneck) for planes in PLANES for bottleneck in (0.0, *BOTTLENECKS)}
        kept: list[Composite] = []
        for plain in (True, False):  # steps of the two are in different units
            finest = math.inf
            for choice in sorted(every, key=lambda choice: (choice.rate(self.layer), self._steps[choice])):
                if (choice.ranks == ()) == plain and self._steps[choice] < finest:
                    finest = self._steps[choice]
                    kept.append(choice)
        return kept

    def resolve(self, planes: int, bottleneck: float) -> Composite:
        """The choice that the weight's planes need at the paper's J = `planes` and bottleneck."""
        choice, step = self._decomposer.resolve(planes, bottleneck)
        self._steps[choice] = min(step, self._steps.get(choice, step))
        return choice

    def sampled(self, choice: Composite, filters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if choice not in self._steps:
            return super().sampled(choice, filters)
        # Signs are kept, so that magnitudes say what the error is.
        return self.weight[filters].abs(), self._decomposer.sizes(choice, self._steps[choice], filters)

    def codes(self, choice: Composite) -> Codes:
        if choice not in self._steps:
            return super().codes(choice)
        return self._decomposer.codes(choice, self._steps[choice])

    def close(self) -> None:
        self._open = None


@dataclass(frozen=True)
class Composite(Choice):
    raw: int
    ranks: tuple[int, ...]  # of the planes above the raw ones, from the lowest

    family: ClassVar[str] = "composite"
    letter: ClassVar[str] = "C"
    summary: ClassVar[str] = "binary planes of the weight, the highest of low rank over GF(2)"
    fitter: ClassVar[type[Fitter]] = CompositeFitter

    @classmethod
    def offered(cls, layer: LayerShape, kind: str, settings: SpaceSettings) -> Sequence[Composite]:
        """Before there is a weight to decompose: plain planes, with or without one of capped rank."""
        height, width = matrix_shape(layer)
        choices = [cls(raw, ()) for raw in range(1, 7)]
        for share in (8, 4):
            rank = min(height, width) // share
            if 0 < rank * (height + width) < height * width:
                choices += [cls(raw, (rank,)) for raw in range(1, 7)]
        return choices

    @property
    def planes(self) -> int:
        """J, the bits of a level."""
        return self.raw + len(self.ranks)

    @property
    def largest(self) -> int:
        """The largest level."""
        return 2**self.planes - 1

    def check(self, shape: LayerShape) -> None:
        height, width = matrix_shape(shape)
        if self.raw < 0 or not 1 <= self.planes <= MOST_PLANES:
            raise BankwiseError(f"raw={self.raw} and {len(self.ranks)} ranks: allowed are 1 to {MOST_PLANES} planes")
        for rank in self.ranks:
            if not 0 <= rank <= min(height, width):
                raise BankwiseError(f"rank {rank} is not possible: allowed are 0 to {min(height, width)}")
        if self.ranks and sum(self.ranks) * (height + width) >= len(self.ranks) * height * width:
            raise BankwiseError(
                f"ranks {list(self.ranks)} cannot pay for a layer of {height}x{width}: raw={self.planes} takes no more"
            )

    def parts(self, shape: LayerShape) -> tuple[Part, ...]:
        """h w (raw + 1) bits of levels and signs, c_i (h + w) bits of factors (Qiaoben et al. 2019, published code)."""
        height, width = matrix_shape(shape)
        parts = [Part("levels", (height, width), self.raw + 1, paper=True)]
        for i, rank in self._factors:
            parts += [Part(f"left{i}", (height, rank), 1, paper=True), Part(f"right{i}", (rank, width), 1, paper=True)]
        return tuple(parts)

    @property
    def _factors(self) -> list[tuple[int, int]]:
        """(i, rank) of the factorized planes that are not empty."""
        return [(i, rank) for i, rank in enumerate(self.ranks) if rank]

    def rate(self, shape: LayerShape) -> float:
        return sum(part.total_bits for part in self.parts(shape)) / shape.weights

    def capture(self, shape: LayerShape) -> float:
        return bits_capture(self.rate(shape))

    def operations(self, shape: LayerShape, run: str) -> Operations:
        """On a device, n c d_h d_w additions per output position and plane, at most, and shifts; no multiplication.

        A product modulo 2 is not linear over the reals: factors are multiplied out before the layer runs.
        """
        standard = convolution(shape)
        return standard if run == "materialized" else Operations(0, self.planes * standard.additions)

    def basis(self, shape: LayerShape, generator: torch.Generator | None = None) -> CompositeBasis:
        return CompositeBasis(self, shape, generator)

    def rounded(self, latent: torch.Tensor) -> torch.Tensor:
        """The latent weight at the choice's levels, at its own size; the step needs no elimination."""
        scale = filter_scales(latent, bool(self.ranks))
        sizes = magnitudes(latent, scale)
        step = Magnitudes(sizes).counted_step(self.raw, self.ranks)
        level = levels(sizes, step, self.planes).reshape(latent.shape)
        return torch.where(latent < 0, -level, level) * (step * scale)

    def weight(self, shape: LayerShape, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        signs, level = codes["levels"] >> self.raw, (codes["levels"] & (2**self.raw - 1)).float()
        for i, _ in self._factors:
            level += product(codes[f"left{i}"], codes[f"right{i}"]) * 2 ** (self.raw + i)
        return (torch.where(signs == 1, -level, level) / self.largest).reshape(shape.weight_shape)

    def in_c(self, shape: LayerShape, packed: Packed) -> Plane:
        """A function of its own: the ranks differ from layer to layer."""
        at, (_, width) = packed.at, matrix_shape(shape)
        planes = [
            f"        value |= product({at[f'left{i}']}, {at[f'right{i}']}, {rank}, {width}, row, column)"
            f" << {self.raw + i};"
            for i, rank in self._factors
        ]
        text = [
            f"static void {packed.name}(const struct layer *l, int32_t f, int32_t c, weight_t *w)",
            "{",
            "    int32_t taps = l->kh * l->kw, first = (f * l->c + c) * taps, i;",
            "    for (i = first; i < first + taps; i++) {",
            f"        uint32_t stored = code(l->bank, i, {self.raw + 1}), value = stored & {2**self.raw - 1}u;",
            *([f"        int32_t row = i / {width}, column = i % {width};"] if planes else []),
            *planes,
            f"        w[i - first] = (weight_t)(stored >> {self.raw} ? -(int32_t)value : (int32_t)value);",
            "    }",
            "}",
        ]
        needs = ("code", "product") if planes else ("code",)
        return Plane(packed.name, {"bank": at["levels"]}, self.largest, self.largest, "\n".join(text), needs)

    def encode(self, level: torch.Tensor, negative: torch.Tensor) -> Codes:
        """The codes of levels (h, w) whose planes keep the ranks, with their signs (bool)."""
        high = level.long() >> self.raw
        codes = {"levels": (level.long() & (2**self.raw - 1)) | (negative.long() << self.raw)}
        for i, rank in self._factors:
            left, right = factorize(((high >> i) & 1).bool().numpy())
            codes[f"left{i}"] = torch.from_numpy(np.pad(left, ((0, 0), (0, rank - left.shape[1])))).long()
            codes[f"right{i}"] = torch.from_numpy(np.pad(right, ((0, rank - right.shape[0]), (0, 0)))).long()
        return codes

    def fields_code(self) -> str:
        return ".".join(map(str, (self.raw, *self.ranks)))

    @classmethod
    def from_fields_code(cls, text: str) -> Composite:
        raw, *ranks = map(int, text.split("."))
        return cls(raw, tuple(ranks))

    def values(self) -> dict[str, Any]:
        return {"raw": self.raw, "ranks": list(self.ranks)}

    @classmethod
    def from_dict(cls, values: Mapping) -> Composite:
        if set(values) - {"family"} == {"raw", "ranks"}:
            raw, ranks = values["raw"], values["ranks"]
            if not isinstance(ranks, list | tuple) or not all(_count(value) for value in (raw, *ranks)):
                raise BankwiseError(
                    f"raw={short(raw)} ranks={short(ranks)}: need a whole number of at least 0 and a list of such"
                )
            return cls(raw, tuple(ranks))
        return super().from_dict(values)


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """left @ right modulo 2, as float32, of rows and columns that are not zero: few, for a plane of low rank."""
    if torch.jit.is_tracing():  # the shapes in a graph must not depend on values
        return left.float() @ right.float() % 2
    rows, columns = left.any(1), right.any(0)
    plane = torch.zeros(len(left), right.shape[1], device=left.device)
    plane[rows.nonzero(), columns.nonzero().t()] = left[rows].float() @ right[:, columns].float() % 2
    return plane


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


def matrix_shape(shape: LayerShape) -> tuple[int, int]:
    """(h, w) = (n d_h, c d_w); a row is a part of one filter."""
    return shape.n * shape.kernel[0], shape.c * shape.kernel[1]


class CompositeBasis(LatentWeight):
    """A latent weight, rounded to the levels of a fixed step (in units of `scales`) and capped to the ranks;
    straight-through. `start_from` finds the step that serves the weight best: conversion without training.
    """

    def __init__(self, choice: Composite, shape: LayerShape, generator: torch.Generator | None = None):
        super().__init__(shape, generator)
        self.choice = choice
        self.register_buffer("step", torch.tensor(self._sizes().counted_step(choice.raw, choice.ranks)))

    def _scales(self) -> torch.Tensor:
        return filter_scales(self.latent, bool(self.choice.ranks))

    def _sizes(self) -> Magnitudes:
        return Magnitudes(magnitudes(self.latent, self._scales()))

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor) -> None:
        super().start_from(weight)
        self.step.fill_(self._sizes().fitted_step(self.choice.raw, self.choice.ranks))

    @torch.no_grad()
    def _level(self) -> torch.Tensor:
        sizes = magnitudes(self.latent, self._scales())
        return capped(levels(sizes, float(self.step), self.choice.planes), self.choice.raw, self.choice.ranks)

    def forward(self) -> torch.Tensor:
        level = self._level().reshape(self.latent.shape)
        fixed = torch.where(self.latent < 0, -level, level) / self.choice.largest
        return Fixed.apply(self.latent / (self._scales() * self.step * self.choice.largest), fixed)

    def codes(self) -> Codes:
        level = self._level().cpu()
        return self.choice.encode(level, (self.latent.detach().cpu() < 0).reshape(level.shape))
