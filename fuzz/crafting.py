"""Model files by a small writer of its own, which writes what no release would: from docs/format.md alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

SYMBOLS = {**{str(digit): digit for digit in range(10)}, ".": 10, "x": 11, ".3x3": 12, ".1x1": 13, "v": 14}
VECTORS = ("v32", "v16", "v8", "v4", "s8", "s4", "p8", "p4")
VECTOR_BITS = (4, 8, 16, 32)


@dataclass(frozen=True)
class Crafted:
    """The fields of a file; `images` is a letter and 6 hexadecimal digits or dashes, `choices` the text of each code or
    the bytes that stand for it. Where they are not None, `count` stands for the number of choices, `flags` for the
    first byte of the description, `checksum` for the right one."""

    network: str | bytes = "tiny"
    sizes: tuple[int, int, int] = (1, 8, 8)
    classes: int = 10
    images: str = "-------"
    vector_bits: int = 8
    keep: str | None = None
    choices: tuple[str | bytes, ...] = ("B",) * 5
    parts: bytes = b""
    digits: int | None = None
    count: int | None = None
    flags: int | None = None
    checksum: bytes | None = None

    def with_(self, **changes: object) -> Crafted:
        return replace(self, **changes)  # type: ignore[arg-type]

    def description(self) -> bytes:
        letter, digest = "-SI".index(self.images[0]), self.images[1:]
        known = not digest.startswith("-")
        flags = VECTOR_BITS.index(self.vector_bits) + 4 * letter + 16 * known + 32 * (self.keep is not None)
        made = bytes([flags if self.flags is None else self.flags])
        made += bytes.fromhex(digest) if known else bytes(3)
        for size in (*self.sizes, self.classes):
            made += number(size)
        made += text(self.network) + (b"" if self.keep is None else text(self.keep))
        made += number(len(self.choices) if self.count is None else self.count)
        return made + b"".join(one if isinstance(one, bytes) else choice(one) for one in self.choices)

    def to_bytes(self) -> bytes:
        rest = self.description() + self.parts
        size = str(8 + len(rest)).rjust(self.digits or len(str(8 + len(rest))))
        header = f'{{"bw3":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}'.encode()
        digest = hashlib.sha256(header + rest).digest()[:8] if self.checksum is None else self.checksum
        return len(header).to_bytes(8, "little") + header + digest + rest


def number(value: int) -> bytes:
    groups = []
    while True:
        groups.append(value % 128)
        value //= 128
        if not value:
            return bytes([*(group + 128 for group in groups[:-1]), groups[-1]])


def text(value: str | bytes) -> bytes:
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return number(len(data)) + data


def choice(code: str) -> bytes:
    """`S32.4.3x3v4`, or `module:Name/32.4` of a user's own family."""
    reference, slash, fields = code.rpartition("/")
    letter = 0 if slash else ord(code[0]) - ord("A") + 1
    fields, said = (fields if slash else code[1:]), ""
    for place, name in enumerate(VECTORS):
        if fields.endswith(name):
            fields, said = fields[: -len(name)], f"v{place}"
    nibbles = []
    while fields or said:
        if not fields:
            fields, said = said, ""
        for length in (4, 1):
            if fields[:length] in SYMBOLS and not (length == 4 and fields[4:5].isdigit()):
                nibbles.append(SYMBOLS[fields[:length]])
                fields = fields[length:]
                break
    nibbles += [15] * (len(nibbles) % 2)
    packed = bytes(16 * high + low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))
    first = bytes([8 * letter + min(7, len(packed))]) + (number(len(packed) - 7) if len(packed) > 6 else b"")
    return first + (text(reference) if slash else b"") + packed
