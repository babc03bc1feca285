"""The search space: for every layer of a network the choices that it may take."""

from __future__ import annotations

import copy
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from search_space.basis import Binary, Choice, Float, Integer, Sparse, Stacked
from search_space.basis.bank import divisors
from search_space.basis.composite import composite_choices
from search_space.basis.subbit import subbit_choices
from search_space.basis.tiled import tiled_choices
from search_space.errors import BankwiseError, unknown
from search_space.plan import Plan
from search_space.price import PriceTable
from search_space.shape import LayerShape, NetworkShape
from search_space.vector import VECTOR_BITS

KINDS = (
    "stacked", "sparse", "binary", "tiled", "subbit", *(f"int{bits}" for bits in range(2, 9)), "composite", "float16",
    "float32",
)  # fmt: skip

# (bank bits, terms a slot, coefficient bits): those that on trained layers captured most at equal bits, best first.
SPARSE = ((1, 1, 1), (2, 1, 1), (4, 1, 1), (1, 2, 2), (2, 2, 2))


@dataclass(frozen=True)
class SpaceSettings:
    """What layers may be. `first` and `last` are the first and last layer of the network, `hidden` the others;
    `layers` overrides them by name pattern. Each lists kinds: stacked, sparse, binary, tiled, subbit, int2 to int8,
    composite, float16, float32.
    `max_k` bounds the bank, `tiles` the kernel splits (empty: every tile that divides the kernel), `keep` are patterns
    of modules left in floating point and outside the search.
    """

    hidden: tuple[str, ...] = ("stacked", "binary")
    first: tuple[str, ...] = ("stacked", "binary", "int4", "int8")
    last: tuple[str, ...] = ("stacked", "binary", "int4", "int8")
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_k: int = 256
    tiles: tuple[tuple[int, int], ...] = ()
    keep: tuple[str, ...] = ()
    vector_bits: int = 8

    def __post_init__(self):
        for kinds in (self.hidden, self.first, self.last, *self.layers.values()):
            if not kinds:
                raise BankwiseError(f"a layer needs at least one kind of: {', '.join(KINDS)}")
            for kind in kinds:
                if kind not in KINDS:
                    raise unknown("kind of layer", kind, KINDS)
        if self.max_k < 2:
            raise BankwiseError(f"max_k={self.max_k} leaves no bank; it must be at least 2")
        for tile in self.tiles:
            if len(tile) != 2 or min(tile) < 1:
                raise BankwiseError(f"tiles: {tile!r} is not (height, width) of a kernel split, such as (1, 3)")
        if self.vector_bits not in VECTOR_BITS:
            raise BankwiseError(f"vector_bits: {self.vector_bits!r} is not one of {VECTOR_BITS}")

    def kinds(self, index: int, shape: NetworkShape) -> tuple[str, ...]:
        for pattern, kinds in self.layers.items():
            if fnmatch.fnmatchcase(shape.layers[index].name, pattern):
                return kinds
        if index == len(shape.layers) - 1:
            return self.last
        return self.first if index == 0 else self.hidden


def stacked_choices(layer: LayerShape, max_k: int, tiles: Sequence[tuple[int, int]] = ()) -> list[Stacked]:
    """Banks that can pay: k a power of two (other k waste index bits) up to the slots and the 2^(s t_h t_w) distinct
    filters, s a divisor of the channels, and fewer bits than the binary layer."""
    choices = []
    for tile in tiles or [(h, w) for h in divisors(layer.kernel[0]) for w in divisors(layer.kernel[1])]:
        if layer.kernel[0] % tile[0] or layer.kernel[1] % tile[1]:
            continue
        for s in divisors(layer.c):
            k = 2
            while k <= min(max_k, 2 ** min(s * tile[0] * tile[1], 62), layer.weights // (s * tile[0] * tile[1])):
                choice = Stacked(k, s, tile)
                if sum(part.total_bits for part in choice.parts(layer)) < layer.weights:
                    choices.append(choice)
                k *= 2
    return choices


def sparse_choices(layer: LayerShape, max_k: int, tiles: Sequence[tuple[int, int]] = ()) -> list[Sparse]:
    """Sparse combinations that can pay, for each of the settings SPARSE of (bank bits, terms, coefficient bits).

    k a power of two (1 too: a sign is choice enough) up to `max_k`, the slots and the distinct filters, s a divisor of
    the channels, fewer bits than 2-bit weights; and of those with one setting only choices that capture, in closed
    form, 15 % more than any cheaper one: the others cannot pay, and those left can be told apart.
    """
    every = tiles or [(h, w) for h in divisors(layer.kernel[0]) for w in divisors(layer.kernel[1])]
    places = [
        (s, tile)
        for tile in every
        if not (layer.kernel[0] % tile[0] or layer.kernel[1] % tile[1])
        for s in divisors(layer.c)
    ]
    kept = []
    for setting in SPARSE:
        found = []
        for s, tile in places:
            k = 1
            while k <= max_k:
                choice = Sparse(k, s, tile, *setting)
                bits = sum(part.total_bits for part in choice.parts(layer))
                if bits < 2 * layer.weights and _possible(choice, layer):
                    found.append((bits, -choice.capture, choice))
                k *= 2
        reached = 0.0
        for _, share, choice in sorted(found, key=lambda one: one[:2]):
            if -share >= 1.15 * reached:
                reached = -share
                kept.append(choice)
    return kept


def _possible(choice: Choice, layer: LayerShape) -> bool:
    try:
        choice.check(layer)
    except BankwiseError:
        return False
    return True


def layer_choices(layer: LayerShape, kinds: Sequence[str], settings: SpaceSettings) -> tuple[Choice, ...]:
    choices: list[Choice] = []
    for kind in kinds:
        if kind == "stacked":
            choices += stacked_choices(layer, settings.max_k, settings.tiles)
        elif kind == "sparse":
            choices += sparse_choices(layer, settings.max_k, settings.tiles)
        elif kind == "tiled":
            choices += tiled_choices(layer)
        elif kind == "subbit":
            choices += subbit_choices(layer, settings.max_k)
        elif kind == "binary":
            choices.append(Binary())
        elif kind == "composite":
            choices += composite_choices(layer)
        elif found := re.fullmatch(r"(int|float)(\d+)", kind):
            name, bits = found.groups()
            choices.append((Integer if name == "int" else Float)(int(bits)))
        else:
            raise NotImplementedError(f"no choices are offered for kind {kind!r}")
    if not choices:
        raise BankwiseError(
            f"layer {layer.name!r} of {layer.n}x{layer.c}x{layer.kernel[0]}x{layer.kernel[1]} weights: "
            "no bank can pay; allow another kind, such as binary"
        )
    return tuple(dict.fromkeys(choices))  # kinds and tiles may be given twice


class SearchSpace:
    """All choices of all layers of `shape`, with their prices.

    A plan of the space is also a vector of indices, one a layer, into `choices`.
    """

    def __init__(self, shape: NetworkShape, settings: SpaceSettings | None = None):
        if not shape.layers:
            raise BankwiseError(f"network {shape.network!r} has no convolution or linear layer to compress")
        self.shape = shape
        self.settings = settings or SpaceSettings()
        names = [layer.name for layer in shape.layers]
        for pattern in self.settings.layers:
            if not fnmatch.filter(names, pattern):
                raise unknown("layer", pattern, names)
        self.choices: tuple[tuple[Choice, ...], ...] = tuple(
            layer_choices(layer, self.settings.kinds(index, shape), self.settings)
            for index, layer in enumerate(shape.layers)
        )

    def cut(self, kept: Sequence[Sequence[int]]) -> SearchSpace:
        """The space of only the choices `kept[i]` of each layer i."""
        return self.offering([[row[j] for j in of] for row, of in zip(self.choices, kept, strict=True)])

    def offering(self, choices: Sequence[Sequence[Choice]]) -> SearchSpace:
        """The space of just these choices of each layer, whatever the settings offer."""
        other = copy.copy(self)
        other.__dict__.pop("prices", None)
        other.choices = tuple(map(tuple, choices))
        return other

    @cached_property
    def prices(self) -> PriceTable:
        return PriceTable(self.shape, self.choices, self.plan(np.zeros(len(self.choices), int)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.shape.layers)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(row) for row in self.choices)

    def plan(self, indices: Sequence[int]) -> Plan:
        rows = zip(self.names, self.choices, indices, strict=True)
        return self.make_plan({name: row[int(index)] for name, row, index in rows})

    def make_plan(self, layers: Mapping[str, Choice]) -> Plan:
        shape, settings = self.shape, self.settings
        return Plan(shape.network, shape.input_shape, shape.classes, layers, shape.keep, settings.vector_bits)

    def indices(self, plan: Plan) -> np.ndarray:
        """Where the plan lies in the space; a choice that is not in it is an error."""
        plan.check(self.shape)
        found = []
        for layer, row in zip(self.shape.layers, self.choices, strict=True):
            choice = plan.layers[layer.name]
            if choice not in row:
                raise BankwiseError(f"layer {layer.name!r}: {choice} is not in the search space")
            found.append(row.index(choice))
        return np.array(found)
