"""The layout of an exported file: what is where, and how many bytes it takes. Price and writer both read it.

File: 8 bytes of header length, a JSON header, one uint8 tensor (a safetensors container): checksum, description, parts.
The header's length does not depend on the plan: its numbers have a fixed width. So the size of a file is a sum of
integers, fixed bytes + sum over layers (bytes of the choice's code + parts).
"""

from __future__ import annotations

from dataclasses import dataclass

from bankwise.search_space.families import Choice
from bankwise.search_space.part import Part
from bankwise.search_space.parts import fixed_parts, layer_parts, plan_parts
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.targets.file.description import CHECKSUM, Description, checksum, header_text
from bankwise.search_space.targets.file.symbols import code_bytes

_NUMBER_BYTES = 16  # more than any choice takes for a weight
_LAYER_BYTES = 64  # and beside its weights


@dataclass(frozen=True)
class Entry:
    """One part: owned by the layer, norm or tensor `owner`, from byte `offset` behind what the file says of itself."""

    owner: str
    part: Part
    offset: int


def payload_entries(shape: NetworkShape, plan: Plan) -> list[Entry]:
    """Every part in the order of the file, each from the byte where the one before ends."""
    entries, offset = [], 0
    for owner, part in plan_parts(shape, plan):
        entries.append(Entry(owner, part, offset))
        offset += part.file_bytes
    return entries


def payload_bytes(entries: list[Entry]) -> int:
    """Bytes of these parts."""
    return entries[-1].offset + entries[-1].part.file_bytes if entries else 0


def front(shape: NetworkShape, plan: Plan, parts: bytes) -> bytes:
    """All of a file before its `parts`.

    Raises BankwiseError where they are more than a file of the network holds.
    """
    said = Description.of(shape, plan).to_bytes()
    header = header_text(_digits(shape, plan), CHECKSUM + len(said) + len(parts)).encode()
    return len(header).to_bytes(8, "little") + header + checksum(header, said + parts) + said


def header_bytes(shape: NetworkShape, plan: Plan) -> int:
    """Bytes in front of the parts.

    Raises BankwiseError where the parts are more than a file of the network holds.
    """
    said, parts = len(Description.of(shape, plan).to_bytes()), payload_bytes(payload_entries(shape, plan))
    return 8 + len(header_text(_digits(shape, plan), CHECKSUM + said + parts)) + CHECKSUM + said


def choice_code_bytes(choice: Choice) -> int:
    """What the choice's own code takes."""
    return len(code_bytes(choice.code()))


def choice_bytes(layer: LayerShape, choice: Choice, vector_bits: int) -> int:
    """What the choice adds to the file: its code, its parts and those of the batch norm behind it."""
    return choice_code_bytes(choice) + sum(part.file_bytes for part in layer_parts(layer, choice, vector_bits))


def fixed_bytes(shape: NetworkShape, plan: Plan) -> int:
    """What every plan of the network takes: the front without its choices' codes, norms behind no layer, and kept
    tensors."""
    codes = sum(choice_code_bytes(choice) for choice in plan.layers.values())
    return header_bytes(shape, plan) - codes + sum(part.file_bytes for _, part in fixed_parts(shape, plan.vector_bits))


def _digits(shape: NetworkShape, plan: Plan) -> int:
    """The width of the payload's length, enough for every plan of the network."""
    numbers, layers = shape.float_bytes // 4, len(shape.layers)
    return len(str(_NUMBER_BYTES * numbers + _LAYER_BYTES * (layers + 1) + len(" ".join((plan.network, *plan.keep)))))
