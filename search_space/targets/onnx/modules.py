"""The network as a module of the tensors that an ONNX model holds, which is traced into its graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.modules import norm_at
from bankwise.search_space.outputs import logits_of
from bankwise.search_space.packing import layer_tensors, path
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.onnx.storage import Group
from bankwise.search_space.vector import kept_values


class Plain(nn.Module):
    """`network` with tensors of these names in place of its own."""

    def __init__(self, network: nn.Module, names: Sequence[str]):
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, images: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        with replaced(self.network, dict(zip(self.names, tensors, strict=True))):
            return _logits(self.network(images))


class Packed(nn.Module):
    """`network` (of `packing.assemble`) with the tensors that `names` of packed tensors hold, unpacked."""

    def __init__(
        self, network: nn.Module, shape: NetworkShape, plan: Plan, groups: Sequence[Group], names: Sequence[str]
    ):
        super().__init__()
        self.network, self.shape, self.plan = network, shape, plan
        self.groups, self.names = tuple(groups), tuple(names)

    def forward(self, images: torch.Tensor, *packed: torch.Tensor) -> torch.Tensor:
        stored = dict(zip(self.names, packed, strict=True))
        codes = {key: value for group in self.groups for key, value in group.unpacked(stored).items()}
        tensors = dict(layer_tensors(self.network, self.shape, self.plan, codes))
        for tensor in self.shape.tensors:
            if tensor.elements:
                tensors[tensor.name] = kept_values(tensor, codes[tensor.name, "kept"])
        for norm in self.shape.norms:  # mean and variance of a folded norm say nothing: made, not stored
            like = norm_at(self.network, norm.name).running_mean
            tensors[path(norm.name, "running_mean")] = torch.zeros(like.shape)
            tensors[path(norm.name, "running_var")] = torch.ones(like.shape)
        with replaced(self.network, tensors):
            return _logits(self.network(images))


def _logits(output: object) -> torch.Tensor:
    logits = None if isinstance(output, tuple | list) and len(output) > 1 else logits_of(output)
    if logits is None:
        given = f"{len(output)} outputs" if isinstance(output, tuple | list) else type(output).__name__
        raise BankwiseError(f"gives {given}, only one that gives a tensor, logits, is written as ONNX")
    return logits


@contextmanager
def replaced(network: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """The network with these tensors in place of its parameters and buffers of their names, wherever they are tied to.

    `torch.func.functional_call` does the same, but not while a network is traced."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    given = {id(state[name]): tensor for name, tensor in tensors.items()}
    before: list[tuple[dict[str, Any], str, torch.Tensor]] = []
    for module in network.modules():
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for held in tables:
            before += [(held, leaf, value) for leaf, value in held.items() if id(value) in given and value is not None]
    try:
        for held, leaf, value in before:
            held[leaf] = given[id(value)]
        yield
    finally:
        for held, leaf, value in before:
            held[leaf] = value
