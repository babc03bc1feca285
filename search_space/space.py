"""The search space: for every layer of a network the choices that it may take."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.families import Choice, family_of
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import PriceTable
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape, NetworkShape


def layer_choices(layer: LayerShape, kinds: Sequence[str], settings: SpaceSettings) -> tuple[Choice, ...]:
    """All choices of a layer by the kinds, with all ways of storing its vectors, none of them twice.

    Raises:
        BankwiseError: there are none.
    """
    choices = [choice for kind in kinds for choice in offered_choices(layer, kind, settings)]
    if not choices:
        raise BankwiseError(
            f"layer {layer.name!r} of {layer.n}x{layer.c}x{layer.kernel[0]}x{layer.kernel[1]} weights: "
            "no bank can pay; allow another kind, such as binary"
        )
    return tuple(dict.fromkeys(one for choice in choices for one in _stored(layer, choice, settings)))


def _stored(layer: LayerShape, choice: Choice, settings: SpaceSettings) -> Sequence[Choice]:
    """The choice with each of the ways that the settings allow; the usual one goes without saying."""
    if not settings.vectors or not choice.has_vectors(layer):
        return [choice]
    usual = f"v{settings.vector_bits}"
    return [replace(choice, vectors=None if name == usual else name) for name in settings.vectors]


def offered_choices(layer: LayerShape, kind: str, settings: SpaceSettings) -> list[Choice]:
    """The choices of a layer by one kind; of a user's own family, `module:Name`, by all its kinds. May be empty."""
    family = family_of(kind)
    kinds = (kind,) if kind in family.kinds else family.kinds
    return [choice for own in kinds for choice in family.offered(layer, own, settings)]


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

    def cut(self, kept: Sequence[Sequence[int] | np.ndarray]) -> SearchSpace:
        """The space of only the choices `kept[i]` of each layer i."""
        return self.offering([[row[j] for j in of] for row, of in zip(self.choices, kept, strict=True)])

    def offering(self, choices: Sequence[Sequence[Choice]]) -> SearchSpace:
        """The space of just these choices of each layer, whatever the settings allow."""
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

    @property
    def smallest(self) -> Plan:
        """The plan of the fewest bytes."""
        return self.plan([int(row.argmin()) for row in self.prices.file_bytes])

    def plan(self, indices: Sequence[int] | np.ndarray) -> Plan:
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
