"""Activation memory of one forward pass by liveness: a tensor lives from the operation that makes it to its last use.

Last uses are taken from the recorded operations and not from Python's references, which hold a module's arguments
until the module returns although no operation reads them any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bankwise.search_space.work import multiplications


class Recorder(TorchDispatchMode):
    """Records which storages every operation touches while the mode is active.

    `constants` (parameters and buffers) are not activations. Views share their storage, so they count once. Storages
    are kept until the recorder goes, so that their ids stay unique: cheap on the meta device, all activations of the
    pass elsewhere.
    """

    def __init__(self, constants: Iterable[torch.Tensor]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[set[int]] = []  # the storages of activations that each operation reads or writes
        self.constants: list[set[int]] = []  # and those of constants
        self.work: list[int] = []  # the multiplications of each operation
        self.uncounted: dict[str, None] = {}  # names of those whose work is not known
        self._constants = [constant.untyped_storage() for constant in constants]
        self._constant_ids = {id(storage) for storage in self._constants}
        self._storages: dict[int, torch.UntypedStorage] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        touched = {self.storage(t) for t in _tensors((args, kwargs, result))}
        self.operations.append(touched - self._constant_ids)
        self.constants.append(touched & self._constant_ids)
        name, work = multiplications(func, args, kwargs, result)
        if work is None:
            self.uncounted[name] = None
        self.work.append(work or 0)
        return result

    def storage(self, tensor: torch.Tensor) -> int:
        """The id of the tensor's storage."""
        storage = tensor.untyped_storage()
        if id(storage) not in self._constant_ids:
            self._storages[id(storage)] = storage
        return id(storage)

    @property
    def bytes(self) -> int:
        """Those of all activations so far, none of them freed."""
        return sum(storage.nbytes() for storage in self._storages.values())

    def live_bytes(self, image: torch.Tensor, output: object) -> list[int]:
        """Bytes of activations alive at each operation: `image` from the beginning, the tensors in `output` to the end.

        Results that nobody reads (the indices of a max pooling, a batch norm's saved statistics) take nothing: they
        exist on some devices only.
        """
        first: dict[int, int] = {self.storage(image): 0}
        last: dict[int, int] = dict(first)
        for position, touched in enumerate(self.operations):
            for storage in touched:
                first.setdefault(storage, position)
                last[storage] = position
        outputs = {self.storage(tensor) for tensor in _tensors(output)} & first.keys()
        last.update(dict.fromkeys(outputs, len(self.operations) - 1))
        change = [0] * (len(self.operations) + 1)
        kept = {self.storage(image), *outputs}
        for storage, position in first.items():
            if last[storage] == position and storage not in kept:
                continue
            size = self._storages[storage].nbytes()
            change[position] += size
            change[last[storage] + 1] -= size
        return list(accumulate(change[:-1]))

    def uses(self, tensor: torch.Tensor, start: int) -> list[int]:
        """The operations from position `start` on that touch the tensor's storage."""
        storage = self.storage(tensor)
        return [i for i in range(start, len(self.operations)) if storage in self.operations[i]]


def _tensors(tree: object) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
