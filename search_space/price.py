"""The price of a plan: memory by layer and part, operations and activation memory, from shapes alone.

Three accountings, always named: `paper_bits` counts banks, indices and binary weights of the compressed layers, as the
papers do; `file_bytes` counts every byte of the exported file; `device_bytes` the parts without header and names: the
constant data of C sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.families import Choice, Operations
from bankwise.search_space.part import Part
from bankwise.search_space.parts import fixed_parts, layer_parts
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.strict import to_dict
from bankwise.search_space.targets.file.layout import choice_bytes, choice_code_bytes, fixed_bytes, header_bytes

WORK = ("multiplications", "additions")
RUNS = ("materialized", "merge")  # a layer's two ways of running; merge is split-transform-merge


@dataclass(frozen=True)
class LayerPrice:
    """What a choice costs at its layer, with the batch norm behind it. `file_bytes` are those of the parts and of the
    choice's code in the header,
    `rate` information bits a weight; operations and `live_bytes` (activations alive while the layer runs) are for one
    image."""

    name: str
    choice: Choice
    weight_shape: tuple[int, int, int, int]
    rate: float
    parts: tuple[Part, ...]
    file_bytes: int
    paper_bits: int
    materialized: Operations
    merge: Operations
    live_bytes: int

    @property
    def weights(self) -> int:
        return math.prod(self.weight_shape)

    @property
    def device_bytes(self) -> int:
        """Those of the parts."""
        return sum(part.file_bytes for part in self.parts)

    @property
    def merge_peak_bytes(self) -> int:
        """Activations alive while the layer runs by split-transform-merge, float32, one image."""
        return self.live_bytes + self.merge.map_bytes

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "name": self.name,
            "weight_shape": list(self.weight_shape),
            "choice": self.choice.to_dict(),
            "text": str(self.choice),
            "rate": self.rate,
            "file_bytes": self.file_bytes,
            "paper_bits": self.paper_bits,
            "parts": {
                **{part.name: part.file_bytes for part in self.parts},
                "header": self.file_bytes - self.device_bytes,
            },
            "runs": {
                "materialized": to_dict(self.materialized) | {"peak_bytes": self.live_bytes},
                "merge": to_dict(self.merge) | {"peak_bytes": self.merge_peak_bytes},
            },
        }


@dataclass(frozen=True)
class Totals:
    """Work and activation peak of a whole network for one image."""

    multiplications: int
    additions: int
    peak_bytes: int


@dataclass(frozen=True)
class Price:
    """`fixed` maps what no choice changes (header, batch norms, kept tensors) to bytes; `other_work` are the
    multiplications outside the layers (kept ones, attention), each with its addition."""

    layers: tuple[LayerPrice, ...]
    fixed: dict[str, int]
    weights: int
    float_bytes: int
    peak_live_bytes: int
    other_work: int = 0

    @property
    def file_bytes(self) -> int:
        return sum(self.fixed.values()) + sum(layer.file_bytes for layer in self.layers)

    @property
    def device_bytes(self) -> int:
        fixed = sum(size for name, size in self.fixed.items() if name != "header")
        return fixed + sum(layer.device_bytes for layer in self.layers)

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
        """The layers run `materialized` or by `merge`, and all else; float32 activations."""
        layers = [getattr(layer, run) for layer in self.layers]
        peak = self.peak_live_bytes
        if run == "merge":
            peak = max([peak, *(layer.merge_peak_bytes for layer in self.layers)])
        multiplications, additions = (sum(getattr(cost, name) for cost in layers) for name in WORK)
        return Totals(self.other_work + multiplications, self.other_work + additions, peak)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values: all accountings, bytes by layer and part, both ways of running."""
        return {
            "file_bytes": self.file_bytes,
            "file_bits_per_weight": self.file_bits_per_weight,
            "device_bytes": self.device_bytes,
            "paper_bits": self.paper_bits,
            "paper_bits_per_weight": self.paper_bits_per_weight,
            "times_smaller": self.ratio,
            "layers": [layer.to_dict() for layer in self.layers],
            "fixed": self.fixed,
            "runs": {run: to_dict(self.totals(run)) for run in RUNS},
        }


def paper_bits(layer: LayerShape, choice: Choice) -> int:
    """Bits of the choice as its paper counts them."""
    return choice.paper_bits(layer)


def layer_price(layer: LayerShape, choice: Choice, vector_bits: int) -> LayerPrice:
    """What the choice costs at that layer."""
    return LayerPrice(
        name=layer.name,
        choice=choice,
        weight_shape=layer.weight_shape,
        rate=choice.rate(layer),
        parts=layer_parts(layer, choice, vector_bits),
        file_bytes=choice_bytes(layer, choice, vector_bits),
        paper_bits=paper_bits(layer, choice),
        materialized=choice.operations(layer, "materialized"),
        merge=choice.operations(layer, "merge"),
        live_bytes=layer.live_bytes,
    )


@typed_arguments("shape", "plan")
def price(shape: NetworkShape, plan: Plan) -> Price:
    """The price of a plan, which is first checked to be one of this network.

    Raises:
        BankwiseError: the plan is of another network, or a choice cannot be at its layer.

    >>> from bankwise.search_space.networks import build
    >>> from bankwise.search_space.trace import trace
    >>> from bankwise.search_space.space import SearchSpace
    >>> shape = trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10)
    >>> space = SearchSpace(shape)
    >>> cost = price(shape, space.plan([0] * len(shape.layers)))  # every layer's first choice
    >>> cost.file_bytes == sum(layer.file_bytes for layer in cost.layers) + sum(cost.fixed.values())
    True
    """
    plan.check(shape)
    codes = sum(choice_code_bytes(choice) for choice in plan.layers.values())
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
        other_work=shape.other_work,
    )


class PriceTable:
    """Every price of a space at once: int64 arrays, one entry a choice, for each layer."""

    def __init__(self, shape: NetworkShape, choices: Sequence[Sequence[Choice]], plan: Plan):
        """`choices[i]` are those of layer i; `plan` is any plan of the space (its header's fixed part is read)."""
        pairs = list(zip(shape.layers, choices, strict=True))
        self.fixed_file_bytes = fixed_bytes(shape, plan)
        self.fixed_device_bytes = sum(part.file_bytes for _, part in fixed_parts(shape, plan.vector_bits))
        self.file_bytes = _table(pairs, lambda layer, choice: choice_bytes(layer, choice, plan.vector_bits))
        self.device_bytes = tuple(
            row - np.array([choice_code_bytes(choice) for choice in some], dtype=np.int64)
            for row, some in zip(self.file_bytes, choices, strict=True)
        )
        self.paper_bits = _table(pairs, paper_bits)
        self.additions = _table(pairs, lambda layer, choice: choice.operations(layer, "merge").additions)
        self.multiplications = _table(pairs, lambda layer, choice: choice.operations(layer, "merge").multiplications)
        self.merge_peak_bytes = _table(
            pairs, lambda layer, choice: layer.live_bytes + choice.operations(layer, "merge").map_bytes
        )
        self._starts = np.cumsum([0] + [len(row) for row in choices[:-1]])
        self._flat = np.concatenate(self.file_bytes)

    def plan_file_bytes(self, indices: np.ndarray) -> np.ndarray:
        """File bytes of many plans: indices (plans, layers) -> (plans,)."""
        total: np.ndarray = self._flat[np.asarray(indices) + self._starts].sum(-1) + self.fixed_file_bytes
        return total


def _table(
    pairs: Sequence[tuple[LayerShape, Sequence[Choice]]], cost: Callable[[LayerShape, Choice], int]
) -> tuple[np.ndarray, ...]:
    return tuple(np.array([cost(layer, choice) for choice in row], dtype=np.int64) for layer, row in pairs)
