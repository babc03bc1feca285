"""What runs as one step with int8 activations: a layer with its norm and the range that an activation keeps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.c.graph import Graph, Operation

LAYERS = ("conv2d", "linear")
SUMS = (*LAYERS, "batch_norm", "add", "multiply", "average_pool", "adaptive_pool", "mean")  # what a range follows
ALIKE = ("max_pool", "relu", "clamp")  # the output has the scale of the input


@dataclass(frozen=True)
class Affine:
    """Scale and shift of each channel. `kind`: "own" (a layer's scale and bias), "folded" (a norm's), "kept" (a norm
    that is kept as it is) or "bias" (of a kept layer); `path` is the owner's, `tensors` are of what is kept, and the
    bias of a layer where the operation adds it."""

    kind: str
    path: str
    tensors: dict[str, str] = field(default_factory=dict)
    epsilon: float = 0.0


@dataclass(frozen=True)
class Fused:
    """An operation, what it is followed by, and the value that all of it gives."""

    operation: Operation
    output: int
    affine: Affine | None = None
    low: float | None = None
    high: float | None = None


def fused(graph: Graph, shape: NetworkShape) -> list[Fused]:
    """The steps in their order. What follows is part of a step where nothing else reads what is between."""
    uses = Counter(value for operation in graph.operations for value in operation.inputs)
    uses[graph.output] += 1
    after = {operation.inputs[0]: operation for operation in graph.operations if operation.inputs}
    normalized = {layer.name for layer in shape.layers if layer.normalized}
    layers, norms = {layer.name for layer in shape.layers}, {norm.name for norm in shape.norms}
    taken, steps = set[int](), list[Fused]()

    def following(value: int, kinds: Sequence[str]) -> Operation | None:
        found = after.get(value)
        return found if uses[value] == 1 and found is not None and found.kind in kinds else None

    for operation in graph.operations:
        if operation.output in taken:
            continue
        value, affine = operation.output, None
        if operation.kind in LAYERS:
            affine = _own(operation, layers)
            if affine is None or affine.path in normalized:
                norm = following(value, ("batch_norm",))
                if norm is not None and _alike(operation, norm):
                    affine, value = _norm(norm, norms), norm.output
                    taken.add(value)
        elif operation.kind == "batch_norm":
            affine = _norm(operation, norms)
        low = high = None
        ranged = following(value, ("relu", "clamp")) if operation.kind in SUMS else None
        if ranged is not None or operation.kind in ("relu", "clamp"):
            low, high = _range(ranged or operation)
        if ranged is not None:
            value = ranged.output
            taken.add(value)
        steps.append(Fused(operation, value, affine, low, high))
    return steps


def _alike(operation: Operation, norm: Operation) -> bool:
    """Whether the channels of the norm are the layer's: not those of a linear layer at several positions."""
    positions = math.prod(operation.out_shape[:-1]) if operation.kind == "linear" else 1
    return positions == 1 and norm.in_shape[1] == operation.settings["weight_shape"][0]


def _own(operation: Operation, layers: set[str]) -> Affine | None:
    """What a layer has itself."""
    name, _, tensor = operation.tensors["weight"].rpartition(".")
    bias = {"bias": operation.tensors["bias"]} if "bias" in operation.tensors else {}
    if tensor == "weight" and name in layers:
        return Affine("own", name, bias)
    return Affine("bias", name, bias) if bias else None


def _norm(operation: Operation, norms: set[str]) -> Affine:
    path = operation.tensors["running_mean"].rpartition(".")[0]
    if path in norms:
        return Affine("folded", path)
    return Affine("kept", path, operation.tensors, operation.settings["epsilon"])


def _range(operation: Operation) -> tuple[float | None, float | None]:
    if operation.kind == "relu":
        return 0.0, None
    return operation.settings["low"], operation.settings["high"]
