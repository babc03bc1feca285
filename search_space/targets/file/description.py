"""What a file says of itself before its parts, in a few bytes that do not depend on what it learned.

The header of the safetensors container is JSON with the length of its one tensor and nothing else. The tensor begins
with a checksum and a description; the parts follow.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.choice import MOST
from bankwise.search_space.images import Images
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.file.symbols import Damaged, Reader, code_bytes, number_bytes, text_bytes
from bankwise.search_space.vector import VECTOR_BITS

FORMAT = "bankwise 3"
TENSOR = "bw3"  # the tensor's name says the format
CHECKSUM = 8  # bytes of a sha256
_HEADER = re.compile(
    rb'\{"bw([1-9][0-9]{0,8})":\{"dtype":"U8","shape":\[( *[0-9]{1,15})\],"data_offsets":\[0,( *[0-9]{1,15})\]\}\}'
)
_NORMALIZATIONS = "-SI"  # of the images' code
_DIGEST = 3  # bytes


@dataclass(frozen=True)
class Description:
    """A plan without the network's shape: `codes` are those of its choices, layer by layer."""

    network: str
    input_shape: tuple[int, int, int]
    classes: int
    images: Images
    vector_bits: int
    keep: tuple[str, ...]
    codes: tuple[str, ...]

    @classmethod
    def of(cls, shape: NetworkShape, plan: Plan) -> Description:
        codes = tuple(plan.layers[layer.name].code() for layer in shape.layers)
        images = plan.images or Images()
        return cls(plan.network, plan.input_shape, plan.classes, images, plan.vector_bits, plan.keep, codes)

    def to_bytes(self) -> bytes:
        """A byte (vector bits, normalization, what is known), a digest of the class names, numbers, texts, choices."""
        letter, digest = self.images.code[0], self.images.digest
        flags = VECTOR_BITS.index(self.vector_bits) | _NORMALIZATIONS.index(letter) << 2
        flags |= (digest is not None) << 4 | bool(self.keep) << 5
        parts = [bytes([flags]), bytes(_DIGEST) if digest is None else bytes.fromhex(digest)]
        parts += map(number_bytes, (*self.input_shape, self.classes))
        parts.append(text_bytes(self.network))
        if self.keep:
            parts.append(text_bytes(" ".join(self.keep)))
        return b"".join([*parts, number_bytes(len(self.codes)), *map(code_bytes, self.codes)])

    @classmethod
    def read(cls, data: bytes) -> tuple[Description, int]:
        """The description that `data` begins with, and where it ends.

        Raises:
            BankwiseError: there is none.
        """
        reader = Reader(data)
        try:
            (flags,) = reader.bytes(1)
            known, letter = reader.bytes(_DIGEST).hex(), _NORMALIZATIONS[flags >> 2 & 3]
            if flags >> 6 or not (flags & 16 or known == "0" * len(known)):
                raise Damaged
            channels, height, width, classes = (reader.number() for _ in range(4))
            if not all(1 <= size < MOST for size in (channels, height, width, classes)):
                raise Damaged
            network = reader.text()
            keep = tuple(reader.text().split(" ")) if flags & 32 else ()
            if "" in keep:
                raise Damaged
            codes = tuple(reader.code() for _ in range(reader.number()))
            images = Images.of_code(letter + (known if flags & 16 else "-" * len(known)))
        except (Damaged, IndexError):
            raise BankwiseError("damaged: it does not describe a plan") from None
        made = cls(network, (channels, height, width), classes, images, VECTOR_BITS[flags & 3], keep, codes)
        return made, reader.at


def header_text(digits: int, payload: int) -> str:
    """The JSON header for a payload of so many bytes, a number of fixed width.

    Raises BankwiseError where the width cannot say it.
    """
    if payload >= 10**digits:
        raise BankwiseError(f"a payload of {payload} bytes is more than a file of this network holds")
    size = f"{payload:{digits}d}"
    return f'{{"{TENSOR}":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}'


def header_sizes(header: bytes) -> tuple[int, int] | None:
    """The shape and the end of the tensor, of a header of this format; None of one that is not.

    Raises BankwiseError for a later format.
    """
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    if found[1] != TENSOR[2:].encode():
        raise BankwiseError(
            f"format 'bankwise {found[1].decode()}' is not known; this release reads 2 and {TENSOR[2:]}"
        )
    return int(found[2]), int(found[3])


def checksum(header: bytes, rest: bytes) -> bytes:
    """Of the header and of all that follows the checksum."""
    return hashlib.sha256(header + rest).digest()[:CHECKSUM]
