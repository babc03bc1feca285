"""Whether a subclass of a torch module computes what its parent does, by the operations that both run.

They run on the meta device, on tensors without values: that costs nothing at any size and touches no weight.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

_CALLS = ("__call__", "_call_impl")
_FORWARDS = ("forward", "_conv_forward")


def runs_as(module: nn.Module, kind: type[nn.Module], image: tuple[int, ...], then: bool = False) -> bool:
    """Whether `module`, called on a tensor of shape `image`, runs the operations that `kind` would run on the same
    tensors, in training and in evaluation. With `then` others may follow, such as an activation, that touch neither the
    input nor a tensor of the module's own."""
    if not _overrides(module, kind, _CALLS + _FORWARDS):
        return True
    if _overrides(module, kind, _CALLS):
        return False
    try:
        return all(_same(_on_meta(module).train(training), kind, image, then) for training in (True, False))
    except Exception:  # whatever a user's forward pass raises, of tensors without values too
        return False


def _overrides(module: nn.Module, kind: type[nn.Module], names: tuple[str, ...]) -> bool:
    return any(
        name in vars(module) or getattr(type(module), name, None) is not getattr(kind, name, None) for name in names
    )


def _on_meta(module: nn.Module) -> nn.Module:
    tensors = [*module.parameters(), *module.buffers()]
    moved = {id(tensor): torch.empty_like(tensor, device="meta") for tensor in tensors}
    for parameter in module.parameters():
        moved[id(parameter)] = nn.Parameter(moved[id(parameter)], requires_grad=False)
    return copy.deepcopy(module, dict(moved))


def _same(module: nn.Module, kind: type[nn.Module], image: tuple[int, ...], then: bool) -> bool:
    plain = kind.__new__(kind)
    plain.__dict__ = {name: value for name, value in vars(module).items() if name not in _FORWARDS}
    x = torch.empty(image, device="meta")
    theirs, mine = _record(plain, x), _record(module, x)
    own = 1 + len([*module.parameters(recurse=False), *module.buffers(recurse=False)])  # the input, and these
    rest = mine.operations[len(theirs.operations) :]
    untouched = all(place >= own for operation in rest for place in operation[1])
    return mine.operations[: len(theirs.operations)] == theirs.operations and (not rest or then and untouched)


class _Recorder(TorchDispatchMode):
    """Operations as (function, numbers of the storages of their tensors, all else); `known` are the first numbers."""

    def __init__(self, known: list[torch.Tensor]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, tuple[int, ...], str]] = []
        self._storages: list[torch.UntypedStorage] = []
        for tensor in known:
            self._number(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves, structure = tree_flatten((args, kwargs or {}, result))
        numbers = tuple(self._number(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor))
        others = [leaf.shape if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self.operations.append((func, numbers, f"{others} {structure}"))
        return result

    def _number(self, tensor: torch.Tensor) -> int:
        storage = tensor.untyped_storage()
        for number, known in enumerate(self._storages):
            if known is storage:
                return number
        self._storages.append(storage)
        return len(self._storages) - 1


@torch.no_grad()
def _record(module: nn.Module, x: torch.Tensor) -> _Recorder:
    recorder = _Recorder([x, *module.parameters(recurse=False), *module.buffers(recurse=False)])
    with torch.random.fork_rng(devices=[]), recorder:
        module(x)
    return recorder
