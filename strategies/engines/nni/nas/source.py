"""Where a search space comes from, in plain values: a trial's process makes the same space from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.families import choice_from_code
from bankwise.search_space.limits import Limits
from bankwise.search_space.networks import build
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import trace
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding


@dataclass(frozen=True)
class SpaceSource:
    """`codes` are those of every layer's choices; `budget` bytes in `accounting`; `network` is built by its reference
    from `seed`."""

    network: str
    input_shape: Sequence[int]
    classes: int
    codes: Mapping[str, Sequence[str]]
    budget: int
    accounting: str = "file"
    keep: Sequence[str] = ()
    vector_bits: int = 8
    max_ops: int | None = None
    seed: int = 0

    @classmethod
    def of(cls, space: BudgetedSpace, seed: int = 0) -> SpaceSource:
        shape, budget = space.space.shape, space.budget
        bits = space.space.settings.vector_bits
        return cls(
            shape.network, list(shape.input_shape), shape.classes, PlanEncoding(space).codes, budget.bytes,
            budget.accounting, list(shape.keep), bits, space.max_ops, seed,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def build(self) -> tuple[nn.Module, NetworkShape]:
        """The network, freshly initialized, and its shape."""
        channels, height, width = self.input_shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = build(self.network, classes=self.classes, in_channels=channels)
        shape = trace(network, self.network, (channels, height, width), self.classes, tuple(self.keep))
        return network, shape

    def space(self, shape: NetworkShape) -> BudgetedSpace:
        """The choices of each layer within the budget. BankwiseError where one is no choice of its layer."""
        layers = [layer.name for layer in shape.layers]
        for name in (*self.codes, *layers):
            if name not in layers:
                raise unknown("layer", name, layers)
            if not self.codes.get(name):
                raise BankwiseError(f"layer {name!r} has no choices; it needs at least one")
        wanted = [[choice_from_code(code, allow_code=True) for code in self.codes[name]] for name in layers]
        for layer, row in zip(shape.layers, wanted, strict=True):
            for choice in row:
                try:
                    choice.check(layer)
                except BankwiseError as error:
                    raise BankwiseError(f"layer {layer.name!r}: {choice.code()}: {error}") from None
        whole = SearchSpace(shape, SpaceSettings(vector_bits=self.vector_bits)).offering(wanted)
        return BudgetedSpace(whole, Limits(Budget(self.budget, self.accounting), max_ops=self.max_ops))
