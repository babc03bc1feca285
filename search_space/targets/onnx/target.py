"""The targets `onnx` and `onnx_plain`: a model for the runtimes of ONNX, its weights packed or in float32."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.packing import PlanCodes, assemble, blank
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.onnx.checking import check
from bankwise.search_space.targets.onnx.graph import INPUT, OUTPUT, graph
from bankwise.search_space.targets.onnx.metadata import describe
from bankwise.search_space.targets.onnx.modules import Packed, Plain
from bankwise.search_space.targets.onnx.shortening import join_reshapes, share_constants, share_operators, shorten_names
from bankwise.search_space.targets.onnx.storage import Stored, blank_codes, layout, sizes
from bankwise.search_space.targets.target import Sizes, Target

if TYPE_CHECKING:
    from onnx import ModelProto

OPSETS = range(18, 21)  # bitwise operators came with 18; torch's exporter writes no later one than 20


class Onnx(Target):
    """What both have in common. A subclass may have another `opset` of OPSETS."""

    suffix = ".onnx"
    opset: ClassVar[int] = 18

    @abstractmethod
    def traced(self, network: nn.Module, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> tuple[nn.Module, Stored]:
        """The module that is traced into the graph, and the tensors that it takes beside the images."""

    @abstractmethod
    def part_sizes(self, shape: NetworkShape, plan: Plan, stored: Stored) -> Sizes:
        """Bytes by owner and part of the tensors that the model holds."""

    def size(self, shape: NetworkShape, plan: Plan) -> Sizes:
        _, stored, data = self._made(shape, plan, blank_codes(shape, plan))
        parts = self.part_sizes(shape, plan, stored)
        return {("", "graph"): len(data) - sum(parts.values()), **parts}

    def write(self, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> bytes:
        network, _, data = self._made(shape, plan, codes)
        with _naming(plan):
            check(data, network, shape.input_shape)
        return data

    def _made(self, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> tuple[nn.Module, Stored, bytes]:
        """The network in torch, the tensors that the model holds, and the model."""
        plan.check(shape)
        self._require()
        network = assemble(blank(plan, self.network), shape, plan, codes)
        module, stored = self.traced(network, shape, plan, codes)
        with _naming(plan):
            model = graph(module.eval(), torch.zeros(2, *shape.input_shape), stored, self.opset)
        held = {tensor.name for tensor in model.graph.initializer}
        self.shorten(model, stored)
        describe(model, shape, plan, codes)
        data = model.SerializeToString(deterministic=True)
        return network, {name: tensor for name, tensor in stored.items() if name in held}, data

    def shorten(self, model: ModelProto, stored: Stored) -> None:
        share_constants(model)

    def _require(self) -> None:
        if self.opset not in OPSETS:
            raise BankwiseError(f"opset {self.opset} is not possible: {OPSETS[0]} to {OPSETS[-1]}")
        for name in ("onnx", "onnxruntime"):
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise BankwiseError(f"target {self.name!r} needs {name}: pip install 'bankwise[onnx]'") from error


class OnnxTarget(Onnx):
    name = "onnx"
    help = "an ONNX model that unpacks its weights"

    def traced(self, network: nn.Module, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> tuple[nn.Module, Stored]:
        groups = layout(shape, plan)
        stored = {name: tensor for group in groups for name, tensor in group.stored(codes).items()}
        return Packed(network, shape, plan, groups, tuple(stored)), stored

    def part_sizes(self, shape: NetworkShape, plan: Plan, stored: Stored) -> Sizes:
        return sizes(layout(shape, plan))

    def shorten(self, model: ModelProto, stored: Stored) -> None:
        super().shorten(model, stored)
        join_reshapes(model)
        share_operators(model)
        shorten_names(model, frozenset((INPUT, OUTPUT, *stored)))


class OnnxPlainTarget(Onnx):
    name = "onnx_plain"
    help = "an ONNX model with weights in float32"
    suffix = ".plain.onnx"

    def traced(self, network: nn.Module, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> tuple[nn.Module, Stored]:
        tensors = (*network.named_parameters(), *network.named_buffers())
        stored = {name: value.detach() for name, value in tensors if value.is_floating_point()}
        return Plain(network, tuple(stored)), stored

    def part_sizes(self, shape: NetworkShape, plan: Plan, stored: Stored) -> Sizes:
        owners = {layer.name for layer in shape.layers} | {norm.name for norm in shape.norms}
        found: Sizes = {}
        for name, tensor in stored.items():
            owner, _, leaf = name.rpartition(".")
            key = (owner, leaf) if owner in owners else (name, "kept")
            found[key] = tensor.nbytes
        return found


@contextmanager
def _naming(plan: Plan) -> Iterator[None]:
    """The network's name in front of an error."""
    try:
        yield
    except BankwiseError as error:
        raise BankwiseError(f"network {plan.network!r}: {error}") from error
