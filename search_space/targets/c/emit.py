"""The calls of a network in C: operations and a plan to steps, and these to the text of `NAME_predict`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Choice
from bankwise.search_space.families.in_c import Plane
from bankwise.search_space.parts import layer_parts, norm_vectors
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.targets.c.graph import Graph, Operation
from bankwise.search_space.targets.c.layers import Fields, Merge, assigned, merged, total, unpacking
from bankwise.search_space.targets.c.memory import IMAGE, Arena, Call, Step, arrange
from bankwise.search_space.targets.file.layout import payload_entries


@dataclass(frozen=True)
class Program:
    """The calls of a network in their order and places."""

    arena: Arena
    activations: str = "float32"

    @property
    def needs(self) -> set[str]:
        """The kernels that are called."""
        return {name for step in self.arena.steps for name in step.needs}

    @property
    def own(self) -> dict[str, str]:
        """The functions of composite layers, by name."""
        return {name: text for step in self.arena.steps for name, text in step.own}

    def body(self) -> list[str]:
        """The statements of the calls. A field that is what it was before is not set again."""
        before, lines = dict[str, str](), list[str]()
        for step, scratch in zip(self.arena.steps, self.arena.scratch, strict=True):
            inputs = [self.arena.values[value] for value in step.inputs]
            for line in step.call(inputs, self.arena.values[step.output], scratch):
                name, _, value = line.partition(" = ")
                if name.startswith(("l.", "o.")):
                    if before.get(name) == value:
                        continue
                    before[name] = value
                lines.append(line)
        return lines


def program_of(shape: NetworkShape, plan: Plan, graph: Graph) -> Program:
    """Raises BankwiseError, naming the module, for what cannot run in C."""
    builder = Builder(shape, plan, graph)
    for operation in graph.operations:
        builder.add(operation)
    if graph.output == IMAGE or not builder.steps:
        raise BankwiseError(f"network {plan.network!r} cannot be exported to C: it computes nothing")
    return Program(arrange(builder.steps, builder.renamed.get(graph.output, graph.output)))


class Builder:
    """Makes the steps of operations, in their order."""

    def __init__(self, shape: NetworkShape, plan: Plan, graph: Graph):
        self.shape, self.graph = shape, graph
        self.plan, self.steps, self.renamed = plan, list[Step](), dict[int, int]()
        self.layers = {layer.name: layer for layer in shape.layers}
        self.norms = norm_vectors(shape, plan)
        self.at: dict[str, dict[str, str]] = {}  # pointers to the parts by owner
        for entry in payload_entries(shape, plan):
            pointer = f"data + {entry.offset}" if entry.offset else "data"
            self.at.setdefault(entry.owner, {})[entry.part.name] = pointer

    def ways(self, layer: LayerShape, choice: Choice) -> list[Step]:
        """The steps of a layer, with another choice: what they take, not what they say."""
        self.plan = replace(self.plan, layers={**self.plan.layers, layer.name: choice})
        parts = layer_parts(layer, choice, self.plan.vector_bits)
        self.at[layer.name] = {part.name: "data" for part in parts}
        self.steps, self.renamed = [], {}
        self._add_layer(layer)
        return [step for step in self.steps if "layer" in step.needs]

    def _add_layer(self, layer: LayerShape) -> None:
        for operation in self.graph.operations:
            if operation.tensors.get("weight") == f"{layer.name}.weight":
                self.add(operation)

    def add(self, operation: Operation) -> None:
        if operation.kind in ("conv2d", "linear"):
            self._layer(operation)
        elif operation.kind == "batch_norm":
            self._norm(operation)
        else:
            call, in_place = _CALLS[operation.kind](operation)
            needs = frozenset({_KERNELS.get(operation.kind, operation.kind)})
            self.steps.append(replace(self._step(call, operation), in_place=in_place, needs=needs))

    def _step(self, call: Call, operation: Operation) -> Step:
        inputs = tuple(self.renamed.get(value, value) for value in operation.inputs)
        return Step(call, inputs, operation.output, math.prod(operation.out_shape))

    def _affine(
        self, operation: Operation, shape: tuple[int, int, int], kinds: tuple[str, str], scale: str, shift: str
    ) -> None:
        """Scale and shift of an output, in its place; `kinds` are the functions that read them."""
        arguments = f"{', '.join(map(str, shape))}, {kinds[0]}, {scale}, {kinds[1]}, {shift}"

        def call(inputs: Sequence[str], output: str, scratch: str) -> list[str]:
            return [f"affine({inputs[0]}, {output}, {arguments});"]

        value = operation.output
        inner = self.renamed.get(value, value)
        new = -value - 1  # the value before this step stays what it was
        size, needs = math.prod(operation.out_shape), frozenset({"affine", *kinds})
        self.steps.append(Step(call, (inner,), new, size, in_place=True, needs=needs))
        self.renamed[value] = new

    def _kept(self, path: str, operation: Operation) -> str:
        """A pointer to a tensor that is kept in half precision."""
        if "kept" not in self.at.get(path, {}):
            raise BankwiseError(f"network {self.plan.network!r}: {operation.path}: {path} is not stored by itself")
        return self.at[path]["kept"]

    def _layer(self, operation: Operation) -> None:
        layer = self._layer_of(operation)
        rows, shape = geometry(operation)
        if layer is None:
            kept = self._kept(operation.tensors["weight"], operation)
            plane, merges = Plane("plane_float16", {"bank": kept}, largest=None), list[Merge]()
        else:
            plane, merges = self._unpacking(layer, operation, shape)
        plain = 0 if layer is None else total(self.plan.layers[layer.name].operations(layer, "materialized"))
        step = replace(self._plain(operation, rows, plane), operations=plain)
        step = replace(step, instead=tuple(self._merged(operation, rows, merge) for merge in merges))
        self.steps.append(step)
        if layer is None:
            if "bias" in operation.tensors:
                kept = self._kept(operation.tensors["bias"], operation)
                self._affine(operation, shape, ("vector16", "vector16"), "0", kept)
            return
        mine = self.at[layer.name]
        scale, bias = mine.get("scale", "0"), mine.get("bias", "0") if "bias" in operation.tensors else "0"
        if (scale, bias) != ("0", "0"):
            stored = self.plan.layers[layer.name].stored(self.plan.vector_bits)
            self._affine(operation, shape, (stored.scale.kernel, stored.shift.kernel), scale, bias)

    def _layer_of(self, operation: Operation) -> LayerShape | None:
        """The layer whose weight the operation has; None for one that is kept.

        Raises BankwiseError where it adds another bias than that layer's.
        """
        name, _, tensor = operation.tensors["weight"].rpartition(".")
        layer, bias = self.layers.get(name) if tensor == "weight" else None, operation.tensors.get("bias")
        if layer is not None and bias not in (None, f"{name}.bias"):
            raise BankwiseError(
                f"network {self.plan.network!r}: {operation.path or operation.kind} cannot run in C (the weight of "
                f"layer {name} with the bias {bias}, must be with its own or none)"
            )
        return layer

    def _unpacking(
        self, layer: LayerShape, operation: Operation, shape: tuple[int, int, int]
    ) -> tuple[Plane, list[Merge]]:
        """How the layer's weight is unpacked, and the ways to merge its maps where it is run on maps of one size."""
        choice = self.plan.layers[layer.name]
        plane, bank = unpacking(layer, choice, self.at[layer.name])
        alike = shape[2] == math.prod(operation.out_shape[2:]) and not (operation.kind == "linear" and shape[0] > 1)
        return plane, merged(layer, choice, bank) if alike else []

    def _plain(self, operation: Operation, rows: Fields, plane: Plane) -> Step:
        """Unpacks one filter and channel at a time."""
        kernel = "linear" if operation.kind == "linear" else "convolve"
        fields = {**rows, **assigned(plane.fields), "plane": plane.function, "denominator": str(plane.denominator)}
        positions = math.prod(operation.in_shape[:-1])
        if kernel == "linear":
            fields = {name: value for name, value in fields.items() if not name.startswith("view.")}

        def call(inputs: Sequence[str], output: str, scratch: str) -> list[str]:
            last = positions if kernel == "linear" else scratch
            return [*_assigned(fields), f"{kernel}(&l, {inputs[0]}, {output}, {last});"]

        own = ((plane.function, plane.text),) if plane.text else ()
        needs = frozenset({kernel, "layer", *(plane.needs if plane.text else (plane.function,))})
        taps = 0 if kernel == "linear" else int(rows["kh"]) * int(rows["kw"])
        return replace(self._step(call, operation), scratch=taps, needs=needs, own=own)

    def _merged(self, operation: Operation, rows: Fields, merge: Merge) -> Step:
        """Runs by split-transform-merge; the scratch holds the maps, then the taps of one bank filter and channel."""
        fields = {**rows, **merge.fields, **merge.view(rows)}

        def call(inputs: Sequence[str], output: str, scratch: str) -> list[str]:
            return [*_assigned(fields), f"merge(&l, {inputs[0]}, {output}, {scratch}, {merge.height});"]

        needs = frozenset({"merge", "layer"})
        return replace(self._step(call, operation), scratch=merge.words, needs=needs, operations=merge.operations)

    def _norm(self, operation: Operation) -> None:
        path = operation.tensors["running_mean"].rpartition(".")[0]
        channels = operation.out_shape[1]
        inner = math.prod(operation.out_shape[2:])
        if path in self.norms:
            mine, scale, shift = self.at[path], self.norms[path].scale.kernel, self.norms[path].shift.kernel
            arguments = f"1, {channels}, {inner}, {scale}, {mine['norm.scale']}, {shift}, {mine['norm.shift']}"
            needs, name = frozenset({"affine", scale, shift}), "affine"
        else:
            kept = {use: self._kept(one, operation) for use, one in operation.tensors.items()}
            pointers = [kept.get(use, "0") for use in ("running_mean", "running_var", "weight", "bias")]
            arguments = f"{channels}, {inner}, {number(operation.settings['epsilon'])}, {', '.join(pointers)}"
            needs, name = frozenset({"normalize"}), "normalize"

        def call(inputs: Sequence[str], output: str, scratch: str) -> list[str]:
            return [f"{name}({inputs[0]}, {output}, {arguments});"]

        self.steps.append(replace(self._step(call, operation), in_place=True, needs=needs))


def _assigned(fields: Fields) -> list[str]:
    return [f"l.{name} = {value};" for name, value in fields.items()]


def number(value: float) -> str:
    """A float of C with the value's nearest single precision."""
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{float(np.float32(value)).hex()}f"  # a literal that is too small for a float is a warning


def _plus(pointer: str, floats: int) -> str:
    name, _, offset = pointer.partition(" + ")
    return f"{name} + {int(offset or 0) + floats}"


def geometry(operation: Operation) -> tuple[Fields, tuple[int, int, int]]:
    """The fields of a layer that no choice changes, and its output as (outer, channels, inner)."""
    n, c, *kernel = operation.settings["weight_shape"]
    given = operation.settings
    if operation.kind == "linear":
        outer = math.prod(operation.out_shape[:-1])
        rows = {"n": n, "c": c, "groups": 1, "kh": 1, "kw": 1, "ph": 0, "pw": 0, "dh": 1, "dw": 1}
        rows |= {f"view.{name}": 1 for name in ("ih", "iw", "oh", "ow", "sh", "sw")}
        return {name: str(value) for name, value in rows.items()}, (outer, n, 1)
    rows = {"n": n, "c": c, "groups": given["groups"], "kh": kernel[0], "kw": kernel[1]}
    for name, pair in (("p", given["padding"]), ("d", given["dilation"]), ("view.s", given["stride"])):
        rows |= {f"{name}h": pair[0], f"{name}w": pair[1]}
    for name, sizes in (("view.i", operation.in_shape), ("view.o", operation.out_shape)):
        rows |= {f"{name}h": sizes[-2], f"{name}w": sizes[-1]}
    return {name: str(value) for name, value in rows.items()}, (1, n, math.prod(operation.out_shape[-2:]))


Emitted = tuple[Call, bool]  # the call, and whether it may write over its input


def _over(name: str, *arguments: object) -> Callable[[Operation], Emitted]:
    """name(x, y, size, arguments), an activation: in place. An argument may be the name of a setting."""

    def emitted(operation: Operation) -> Emitted:
        given = [operation.settings.get(one, one) if isinstance(one, str) else one for one in arguments]
        shown = [number(one) if isinstance(one, float) else str(one) for one in given]
        rest = ", ".join([str(math.prod(operation.out_shape)), *shown])
        return (lambda inputs, output, scratch: [f"{name}({inputs[0]}, {output}, {rest});"]), True

    return emitted


def _clamp(operation: Operation) -> Emitted:
    low, high = operation.settings["low"], operation.settings["high"]
    bounds = ["-INFINITY" if low is None else number(low), "INFINITY" if high is None else number(high)]
    rest = ", ".join([str(math.prod(operation.out_shape)), *bounds])
    return (lambda inputs, output, scratch: [f"clamp({inputs[0]}, {output}, {rest});"]), True


def _pairwise(operation: Operation) -> Emitted:
    size, given = math.prod(operation.out_shape), operation.settings

    def call(inputs: Sequence[str], output: str, scratch: str) -> list[str]:
        a, b = reversed(inputs) if given["flipped"] else inputs
        return [f"{operation.kind}({a}, {b}, {output}, {size}, {given['inner']});"]

    return call, True


def _pool(*rest: str) -> Callable[[Operation], Emitted]:
    def emitted(operation: Operation) -> Emitted:
        given, channels = operation.settings, operation.out_shape[1]
        stride = given.get("stride", (1, 1))
        view = [*operation.in_shape[2:], *operation.out_shape[2:], *stride]
        numbers: list[Any] = []
        for name in rest:
            value = given[name]
            numbers += value if isinstance(value, tuple) else [value]
        arguments = ", ".join(map(str, [channels, *numbers]))
        return _viewed(operation.kind, view, arguments), False

    return emitted


def _viewed(name: str, view: Sequence[int], arguments: str) -> Call:
    """name(view, x, y, arguments); the view is set field by field, for an initializer would be constant data."""
    fields = [f"l.view.{one} = {value};" for one, value in zip(("ih", "iw", "oh", "ow", "sh", "sw"), view, strict=True)]
    return lambda inputs, output, scratch: [*fields, f"{name}(&l.view, {inputs[0]}, {output}, {arguments});"]


def _mean(operation: Operation) -> Emitted:
    view = [1, operation.settings["size"], 1, 1, 1, 1]
    return _viewed("adaptive_pool", view, str(operation.settings["channels"])), False


def _cat(operation: Operation) -> Emitted:
    sizes: list[int] = operation.settings["sizes"]

    def call(inputs: Sequence[str], output: str, scratch: str) -> list[str]:
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        return [
            f"copy({x}, {_plus(output, start)}, {size});" for x, start, size in zip(inputs, starts, sizes, strict=True)
        ]

    return call, False


_CALLS: Mapping[str, Callable[[Operation], Emitted]] = {
    "max_pool": _pool("kernel_size", "padding", "dilation"),
    "average_pool": _pool("kernel_size", "padding", "padded", "divisor"),
    "adaptive_pool": _pool(),
    "mean": _mean,
    "cat": _cat,
    "add": _pairwise,
    "multiply": _pairwise,
    "clamp": _clamp,
    "relu": _over("relu"),
    "leaky_relu": _over("leaky_relu", "slope"),
    "hard_sigmoid": _over("hard_sigmoid", "swish"),
    "sigmoid": _over("sigmoid", "swish"),
    "gelu": _over("gelu", "by_tanh"),
    "elu": _over("elu", "alpha"),
    "hyperbolic": _over("hyperbolic"),
}
_KERNELS = {"mean": "adaptive_pool", "cat": "copy"}
