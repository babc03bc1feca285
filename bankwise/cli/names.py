"""Names of layers in a narrow table."""

from __future__ import annotations

from collections.abc import Sequence

ROOM = 18  # characters of the column
SAME = "·"  # a segment that is as in the row above


def folded(names: Sequence[str], room: int = ROOM) -> list[str]:
    """The names; where one is longer than `room`, a segment that the name above begins with too is a dot, and what is
    still longer goes on in a further line, after a point where there is one.

    >>> folded(["blocks.0.conv1", "blocks.0.conv2", "blocks.1.convolution"], room=13)
    ['blocks.0.\\n conv1', '·.·.conv2', '·.1.\\n convolution']
    >>> folded(["0.conv1", "0.conv2"], room=12)
    ['0.conv1', '0.conv2']
    """
    if all(len(name) <= room for name in names):
        return list(names)
    split = [name.split(".") for name in names]
    short = [".".join(_shared(above, own)) for above, own in zip([[], *split], split, strict=False)]
    return ["\n ".join(_lines(name, room)) for name in short]


def _shared(above: Sequence[str], own: Sequence[str]) -> list[str]:
    same = next((i for i, (a, b) in enumerate(zip(above, own, strict=False)) if a != b), min(len(above), len(own)))
    same = min(same, len(own) - 1)  # its last segment is always said
    return [SAME] * same + list(own[same:])


def _lines(name: str, room: int) -> list[str]:
    lines = []
    while len(name) > room:
        cut = name.rfind(".", 0, room) + 1 or room
        lines.append(name[:cut])
        name = name[cut:]
    return [*lines, name]
