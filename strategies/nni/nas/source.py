"""Where a search space comes from, in plain values: a trial's process makes the same space from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from search_space.basis import choice_from_code
from search_space.budget import Budget
from search_space.errors import BankwiseError, unknown
from search_space.networks import build
from search_space.shape import NetworkShape
from search_space.space import KINDS, SearchSpace, SpaceSettings
from search_space.trace import trace
from strategies.budgeted import BudgetedSpace
from strategies.nni.nas.samples import codes_of


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
            shape.network, list(shape.input_shape), shape.classes, codes_of(space), budget.bytes, budget.accounting,
            list(shape.keep), bits, space.max_ops, seed,
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    def build(self) -> tuple[nn.Module, NetworkShape]:
        """The network, freshly initialized, and its shape."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = build(self.network, classes=self.classes, in_channels=self.input_shape[0])
        shape = trace(network, self.network, tuple(self.input_shape), self.classes, tuple(self.keep))
        return network, shape

    def space(self, shape: NetworkShape) -> BudgetedSpace:
        """The choices of each layer within the budget. BankwiseError where one is no choice of its layer."""
        layers = [layer.name for layer in shape.layers]
        for name in (*self.codes, *layers):
            if name not in layers:
                raise unknown("layer", name, layers)
            if not self.codes.get(name):
                raise BankwiseError(f"layer {name!r} has no choices; it needs at least one")
        wanted = [[choice_from_code(code) for code in self.codes[name]] for name in layers]
        largest = max([2, *(getattr(choice, "k", 2) for row in wanted for choice in row)])
        settings = SpaceSettings(KINDS, KINDS, KINDS, max_k=largest, vector_bits=self.vector_bits)
        whole = SearchSpace(shape, settings)
        kept = []
        for name, row, choices in zip(layers, wanted, whole.choices, strict=True):
            for choice in row:
                if choice not in choices:
                    raise BankwiseError(f"layer {name!r}: {choice.code()} is no choice that this layer can have")
            kept.append([choices.index(choice) for choice in row])
        return BudgetedSpace(whole.cut(kept), Budget(self.budget, self.accounting), max_ops=self.max_ops)
