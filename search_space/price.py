"""The price of a plan: memory by layer and part, operations and activation memory, from shapes alone.

Two accountings, always named: `paper_bits` counts banks, indices and binary weights of the compressed layers, as the
papers do; `file_bytes` counts every byte of the exported file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_space.basis import Choice, Operations
from search_space.layout import (
    choice_bytes,
    fixed_bytes,
    fixed_parts,
    header_bytes,
    layer_parts,
)
from search_space.part import Part
from search_space.plan import Plan
from search_space.shape import LayerShape, NetworkShape


@dataclass(frozen=True)
class LayerPrice:
    name: str
    choice: Choice
    weights: int
    parts: tuple[Part, ...]
    file_bytes: int  # parts and the choice's code in the header
    paper_bits: int
    materialized: Operations
    merge: Operations
    live_bytes: int

    @property
    def merge_peak_bytes(self) -> int:
        """Activations alive while the layer runs by split-transform-merge, float32, one image."""
        return self.live_bytes + self.merge.map_bytes


@dataclass(frozen=True)
class Totals:
    """Work and activation peak of a whole network for one image."""

    multiplications: int
    additions: int
    peak_bytes: int


@dataclass(frozen=True)
class Price:
    """`fixed` maps what no choice changes (header, batch norms, kept tensors) to bytes."""

    layers: tuple[LayerPrice, ...]
    fixed: dict[str, int]
    weights: int
    float_bytes: int
    peak_live_bytes: int

    @property
    def file_bytes(self) -> int:
        return sum(self.fixed.values()) + sum(layer.file_bytes for layer in self.layers)

    @property
    def paper_bits(self) -> int:
        return sum(layer.paper_bits for layer in self.layers)

    @property
    def paper_bits_per_weight(self) -> float:
        """Paper bits over the weights of the layers that the papers would count."""
        counted = sum(layer.weights for layer in self.layers if layer.paper_bits)
        return self.paper_bits / counted if counted else 0.0

    @property
    def file_bits_per_weight(self) -> float:
        return 8 * self.file_bytes / self.weights

    @property
    def ratio(self) -> float:
        """Times smaller than the uncompressed float32 network."""
        return self.float_bytes / self.file_bytes

    def totals(self, run: str) -> Totals:
        """Sums over the layers run `materialized` or by `merge`; float32 activations."""
        layers = [getattr(layer, run) for layer in self.layers]
        peak = self.peak_live_bytes
        if run == "merge":
            peak = max([peak, *(layer.merge_peak_bytes for layer in self.layers)])
        return Totals(sum(cost.multiplications for cost in layers), sum(cost.additions for cost in layers), peak)


def paper_bits(layer: LayerShape, choice: Choice) -> int:
    return choice.paper_bits(layer)


def layer_price(layer: LayerShape, choice: Choice, vector_bits: int) -> LayerPrice:
    return LayerPrice(
        name=layer.name,
        choice=choice,
        weights=layer.weights,
        parts=layer_parts(layer, choice, vector_bits),
        file_bytes=choice_bytes(layer, choice, vector_bits),
        paper_bits=paper_bits(layer, choice),
        materialized=choice.operations(layer, "materialized"),
        merge=choice.operations(layer, "merge"),
        live_bytes=layer.live_bytes,
    )


def price(shape: NetworkShape, plan: Plan) -> Price:
    """Price a plan after checking that it is one of this network."""
    plan.check(shape)
    codes = sum(len(choice.code()) for choice in plan.layers.values())
    fixed = {"header": header_bytes(shape, plan) - codes}
    for _, part in fixed_parts(shape, plan.vector_bits):
        kind = "batch norm" if part.name.startswith("norm") else "kept tensors"
        fixed[kind] = fixed.get(kind, 0) + part.file_bytes
    return Price(
        layers=tuple(layer_price(layer, plan.layers[layer.name], plan.vector_bits) for layer in shape.layers),
        fixed=fixed,
        weights=shape.weights,
        float_bytes=shape.float_bytes,
        peak_live_bytes=shape.peak_live_bytes,
    )


class PriceTable:
    """Every price of a space at once: int64 arrays, one entry a choice, for each layer."""

    def __init__(self, shape: NetworkShape, choices: Sequence[Sequence[Choice]], plan: Plan):
        """`choices[i]` are those of layer i; `plan` is any plan of the space (its header's fixed part is read)."""
        pairs = list(zip(shape.layers, choices, strict=True))
        self.fixed_file_bytes = fixed_bytes(shape, plan)
        self.file_bytes = _table(pairs, lambda layer, choice: choice_bytes(layer, choice, plan.vector_bits))
        self.paper_bits = _table(pairs, paper_bits)
        self.additions = _table(pairs, lambda layer, choice: choice.operations(layer, "merge").additions)
        self.multiplications = _table(pairs, lambda layer, choice: choice.operations(layer, "merge").multiplications)
        self.merge_peak_bytes = _table(
            pairs, lambda layer, choice: layer.live_bytes + choice.operations(layer, "merge").map_bytes
        )
        self._starts = np.cumsum([0] + [len(row) for row in choices[:-1]])
        self._flat = np.concatenate(self.file_bytes)
        self._flat_paper = np.concatenate(self.paper_bits)

    def plan_file_bytes(self, indices: np.ndarray) -> np.ndarray:
        """File bytes of many plans: indices (plans, layers) -> (plans,)."""
        return self._flat[np.asarray(indices) + self._starts].sum(-1) + self.fixed_file_bytes

    def plan_paper_bits(self, indices: np.ndarray) -> np.ndarray:
        return self._flat_paper[np.asarray(indices) + self._starts].sum(-1)


def _table(pairs, cost) -> tuple[np.ndarray, ...]:
    return tuple(np.array([cost(layer, choice) for choice in row], dtype=np.int64) for layer, row in pairs)
