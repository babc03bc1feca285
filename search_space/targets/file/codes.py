"""The parts of a file, each unpacked when it is asked for: all of them at once would take 64 bits a code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from bankwise.search_space.bits import unpack_codes
from bankwise.search_space.targets.file.layout import Entry


class PackedCodes(Mapping[tuple[str, str], torch.Tensor]):
    """The codes of a payload by (owner, part), as `bankwise.search_space.packing.pack` gives them."""

    def __init__(self, payload: bytes, entries: Sequence[Entry]):
        self._payload = payload
        self._entries = {(entry.owner, entry.part.name): entry for entry in entries}

    def __getitem__(self, key: tuple[str, str]) -> torch.Tensor:
        entry = self._entries[key]
        return unpack_codes(self._payload, entry.offset, entry.part.shape, entry.part.bits)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
