"""The memory that is there, and a bound on what building a network may take of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bankwise.search_space.errors import BankwiseError

_GROUP = Path("/sys/fs/cgroup")


def available() -> int:
    """Bytes that this process may still take: of the machine, or of its control group where that has less."""
    found = [_of_machine()]
    try:
        limit, used = ((_GROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        found += [] if limit == "max" else [int(limit) - int(used)]
    except (OSError, ValueError):  # no control groups of version 2
        pass
    return max(0, min(found))


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):  # no Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class NotEnoughMemory(BankwiseError):
    """More would be taken than is there."""


class Bounded(TorchDispatchMode):
    """While it is active, tensors that are made take at most `limit` bytes together, those on the meta device apart.

    A tensor takes memory when it is filled: the one that is too much is refused before that, by a NotEnoughMemory that
    begins with `what`.
    """

    def __init__(self, what: str, limit: int):
        super().__init__()  # type: ignore[no-untyped-call]
        self.what, self.limit, self.bytes = what, limit, 0
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        try:
            result = func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if "allocate" not in str(error):
                raise
            raise self._error("more than can be allocated") from None
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device.type != "meta":
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        reference = StorageWeakRef(storage)
        if reference.cdata in self._made:
            return
        self._made[reference.cdata] = reference, storage.nbytes()
        self.bytes += storage.nbytes()
        if self.bytes > self.limit:  # what is gone by now does not count
            self._made = {key: pair for key, pair in self._made.items() if not pair[0].expired()}
            self.bytes = sum(size for _, size in self._made.values())
        if self.bytes > self.limit:
            raise self._error(f"at least {self.bytes:,} bytes")

    def _error(self, needed: str) -> NotEnoughMemory:
        return NotEnoughMemory(f"{self.what} takes {needed}, and it may take {self.limit:,} here; try a smaller one")
