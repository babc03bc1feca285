"""The layout of an exported file: what is where, and how many bytes it takes. Price and writer both read it.

File: 8 bytes of header length, a JSON header, one uint8 payload (a safetensors container). The header's length does
not depend on the payload: numbers have a fixed width. So the size of a file is a sum of integers,
fixed bytes + sum over layers (code of the choice in the header + parts in the payload).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from search_space.basis import Choice
from search_space.errors import BankwiseError
from search_space.part import Part
from search_space.plan import Plan
from search_space.shape import LayerShape, NetworkShape
from search_space.vector import vector_parts

FORMAT = "bankwise 1"
_OFFSET_DIGITS = 10
KEPT_BITS = 16
NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One part in the payload: owned by the layer, norm or tensor `owner`, from byte `offset`."""

    owner: str
    part: Part
    offset: int


def layer_parts(layer: LayerShape, choice: Choice, vector_bits: int) -> tuple[Part, ...]:
    """The choice's parts, then a scale a filter (no norm behind, family needs one) and the bias (no norm behind)."""
    parts = choice.parts(layer)
    if choice.scaled and not layer.normalized:
        parts += vector_parts("scale", (layer.n,), vector_bits)
    if layer.bias and not layer.normalized:
        parts += vector_parts("bias", (layer.n,), vector_bits)
    return parts


def fixed_parts(shape: NetworkShape, vector_bits: int) -> Iterator[tuple[str, Part]]:
    """Folded batch norms (scale and shift a channel) and tensors kept in half precision: (owner, part)."""
    for norm in shape.norms:
        for name in ("norm.scale", "norm.shift"):
            for part in vector_parts(name, (norm.channels,), vector_bits):
                yield norm.name, part
    for tensor in shape.tensors:
        for part in vector_parts("kept", tensor.shape, KEPT_BITS):
            yield tensor.name, part


def payload_entries(shape: NetworkShape, plan: Plan) -> list[Entry]:
    """Every part in the order of the payload, each from the byte where the one before ends."""
    owned = [
        (layer.name, part)
        for layer in shape.layers
        for part in layer_parts(layer, plan.layers[layer.name], plan.vector_bits)
    ]
    entries, offset = [], 0
    for owner, part in (*owned, *fixed_parts(shape, plan.vector_bits)):
        entries.append(Entry(owner, part, offset))
        offset += part.file_bytes
    return entries


def payload_bytes(entries: list[Entry]) -> int:
    return entries[-1].offset + entries[-1].part.file_bytes if entries else 0


def header_text(shape: NetworkShape, plan: Plan, payload: int, digest: str = NO_DIGEST) -> str:
    """The JSON header; `digest` is the sha256, in hexadecimal, of the header without digest and the payload."""
    if payload >= 10**_OFFSET_DIGITS:
        raise BankwiseError(f"a payload of {payload} bytes is more than a file holds")
    metadata = {
        "format": FORMAT,
        "network": plan.network,
        "input": "x".join(map(str, plan.input_shape)),
        "classes": str(plan.classes),
        "vector": str(plan.vector_bits),
        "plan": " ".join(plan.layers[layer.name].code() for layer in shape.layers),
        "sha256": digest,
    }
    if plan.keep:
        metadata["keep"] = " ".join(plan.keep)
    size = f"{payload:{_OFFSET_DIGITS}d}"
    tensor = f'{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}'
    return f'{{"__metadata__":{json.dumps(metadata, separators=(",", ":"))},"payload":{tensor}}}'


def header_bytes(shape: NetworkShape, plan: Plan) -> int:
    """Bytes in front of the payload, the 8 of the header's length included."""
    return 8 + len(header_text(shape, plan, 0).encode())


def choice_bytes(layer: LayerShape, choice: Choice, vector_bits: int) -> int:
    """What the choice adds to the file: its parts and its code in the header."""
    return len(choice.code()) + sum(part.file_bytes for part in layer_parts(layer, choice, vector_bits))


def fixed_bytes(shape: NetworkShape, plan: Plan) -> int:
    """What every plan of the network takes: the header without its choices' codes, norms and kept tensors."""
    codes = sum(len(choice.code()) for choice in plan.layers.values())
    return header_bytes(shape, plan) - codes + sum(part.file_bytes for _, part in fixed_parts(shape, plan.vector_bits))
