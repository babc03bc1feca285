"""Every part that a plan stores, whatever the target: those of its layers, then norms and kept tensors."""

from __future__ import annotations

from collections.abc import Iterator

from bankwise.search_space.families import Choice
from bankwise.search_space.part import Part
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import INTEGERS, LayerShape, NetworkShape
from bankwise.search_space.vector import VECTORS, Vectors


def own_parts(layer: LayerShape, choice: Choice, vector_bits: int) -> tuple[Part, ...]:
    """The choice's parts, then a scale a filter (no norm behind, family needs one) and the bias (no norm behind)."""
    parts, vectors = choice.parts(layer), choice.stored(vector_bits)
    if choice.scaled and not layer.normalized:
        parts += vectors.scale.parts("scale", layer.n)
    if layer.bias and not layer.normalized:
        parts += vectors.shift.parts("bias", layer.n)
    return parts


def norm_parts(channels: int, vectors: Vectors) -> tuple[Part, ...]:
    """A folded batch norm: scale and shift a channel."""
    return vectors.scale.parts("norm.scale", channels) + vectors.shift.parts("norm.shift", channels)


def layer_parts(layer: LayerShape, choice: Choice, vector_bits: int) -> tuple[Part, ...]:
    """All that the choice decides: the layer's own parts, then those of the batch norm behind it."""
    parts = own_parts(layer, choice, vector_bits)
    return parts + norm_parts(layer.n, choice.stored(vector_bits)) if layer.norm else parts


def norm_vectors(shape: NetworkShape, plan: Plan) -> dict[str, Vectors]:
    """How each batch norm is stored: as the choice of the layer before it says, or else as the plan does."""
    found = {norm.name: VECTORS[f"v{plan.vector_bits}"] for norm in shape.norms}
    return found | {
        layer.norm: plan.layers[layer.name].stored(plan.vector_bits) for layer in shape.layers if layer.norm
    }


def fixed_parts(shape: NetworkShape, vector_bits: int) -> Iterator[tuple[str, Part]]:
    """What no choice changes: batch norms behind no layer, and tensors kept as they are: (owner, part)."""
    behind = {layer.norm for layer in shape.layers}
    for norm in shape.norms:
        if norm.name not in behind:
            for part in norm_parts(norm.channels, VECTORS[f"v{vector_bits}"]):
                yield norm.name, part
    yield from _kept_parts(shape)


def plan_parts(shape: NetworkShape, plan: Plan) -> Iterator[tuple[str, Part]]:
    """(owner, part) of every part, in a fixed order: layer by layer, norms, kept tensors."""
    for layer in shape.layers:
        for part in own_parts(layer, plan.layers[layer.name], plan.vector_bits):
            yield layer.name, part
    vectors = norm_vectors(shape, plan)
    for norm in shape.norms:
        for part in norm_parts(norm.channels, vectors[norm.name]):
            yield norm.name, part
    yield from _kept_parts(shape)


def _kept_parts(shape: NetworkShape) -> Iterator[tuple[str, Part]]:
    for tensor in shape.tensors:
        yield tensor.name, Part("kept", tensor.shape, tensor.bits, real=tensor.dtype not in INTEGERS)
