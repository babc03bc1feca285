"""The calls of a network in C with int8 activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.in_c import Plane
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.targets.c.emit import Builder, Program, geometry, number
from bankwise.search_space.targets.c.graph import Graph
from bankwise.search_space.targets.c.int8.fused import LAYERS, Affine, Fused, fused
from bankwise.search_space.targets.c.int8.numbers import Numbers, merged_fits
from bankwise.search_space.targets.c.layers import Fields, Merge, assigned, total
from bankwise.search_space.targets.c.memory import IMAGE, Step, arrange
from bankwise.search_space.vector import Vectors

Call = Callable[[Sequence[str], str, str], list[str]]
_NONE = Numbers()  # while only sizes are asked for


def program_of(shape: NetworkShape, plan: Plan, graph: Graph, numbers: Mapping[int, Numbers] | None = None) -> Program:
    """The calls, by the `numbers` of the steps by their outputs; without these only their sizes and places mean
    something. Raises BankwiseError, naming the module, for what cannot run in C."""
    if graph.output == IMAGE or not graph.operations:
        raise BankwiseError(f"network {plan.network!r} cannot be exported to C: it computes nothing")
    builder = Int8Builder(shape, plan, graph, numbers or {})
    for step in fused(graph, shape):
        builder.take(step)
    return Program(arrange(builder.steps, graph.output, elements=4), "int8")


class Int8Builder(Builder):
    """Builds the steps of fused ones."""

    def __init__(self, shape: NetworkShape, plan: Plan, graph: Graph, numbers: Mapping[int, Numbers]):
        super().__init__(shape, plan, graph)
        self.numbers = numbers
        self.planes: dict[int, Plane] = {}  # of layers, by the output

    def _add_layer(self, layer: LayerShape) -> None:
        for step in fused(self.graph, self.shape):
            if step.operation.tensors.get("weight") == f"{layer.name}.weight":
                self.take(step)

    def take(self, step: Fused) -> None:
        kind = step.operation.kind
        if kind in LAYERS:
            self._summed(step)
        elif kind == "batch_norm":
            self._normed(step)
        else:
            name, arguments, fields = _ARGUMENTS[kind](step, self.numbers.get(step.output, _NONE))
            self._simple(step, name, arguments, fields)

    def _made(self, step: Fused, call: Call, needs: set[str], in_place: bool = False, scratch: int = 0) -> Step:
        operation, size = step.operation, math.prod(step.operation.out_shape)
        in_place = in_place and step.output != self.graph.output  # whose elements are wider
        return Step(call, operation.inputs, step.output, size, scratch, in_place, frozenset(needs))

    def _store(self, step: Fused, output: str, affine: Affine | None = None, layered: bool = False) -> list[str]:
        """Where the output goes and how."""
        numbers = self.numbers.get(step.output, _NONE)
        wide = step.output == self.graph.output
        fields: dict[str, object] = {"y": "0" if wide else _int8(output), "wide": output if wide else "0"}
        fields |= {"low": numbers.low, "high": numbers.high, "shift": numbers.shift, "factor": numbers.factor}
        if layered:
            fields |= {"factor_shift": numbers.factor_shift}
            fields |= {"offset": numbers.offset, "offset_shift": numbers.offset_shift}
            fields |= self._affine_fields(step, affine)
        return [f"o.{name} = {value};" for name, value in fields.items()]

    def _affine_fields(self, step: Fused, affine: Affine | None) -> dict[str, object]:
        """Of `struct store`: pointers to scale and shift of each channel, and how they are read."""
        if affine is None:
            return {"affine": "folded", "scale": "0", "bias": "0"}
        if affine.kind == "kept":
            kept = {use: self._kept(path, step.operation) for use, path in affine.tensors.items()}
            return {"affine": _kept_name(kept), "scale": kept.get("weight", "0"), "bias": kept.get("bias", "0")}
        if affine.kind == "bias":
            bias = self._kept(affine.tensors["bias"], step.operation)
            fields = {"scale": "0", "bias": bias, "channels": self._count(step)}
            return {"affine": "folded", "read_bias": "vector16", **fields}
        mine, prefix = self.at.get(affine.path, {}), "norm." if affine.kind == "folded" else ""
        scale, bias = mine.get(f"{prefix}scale", "0"), mine.get("norm.shift" if prefix else "bias", "0")
        if affine.kind == "own" and not affine.tensors:
            bias = "0"
        if scale == bias == "0":
            return {"affine": "folded", "scale": "0", "bias": "0"}
        stored = self._stored(affine)
        fields = {"read_scale": stored.scale.kernel, "read_bias": stored.shift.kernel}
        return {"affine": "folded", **fields, "scale": scale, "bias": bias, "channels": self._count(step)}

    def _stored(self, affine: Affine) -> Vectors:
        """How the scale and the shift of a layer or of a norm are."""
        if affine.kind == "folded":
            return self.norms[affine.path]
        return self.plan.layers[affine.path].stored(self.plan.vector_bits)

    def _affine_needs(self, affine: Affine | None) -> set[str]:
        if affine is None or affine.kind == "kept":
            return {"kept" if affine else "folded"}
        if affine.kind == "bias":
            return {"folded", "vector16"}
        stored = self._stored(affine)
        return {"folded", stored.scale.kernel, stored.shift.kernel}

    def _affine_own(self, step: Fused) -> tuple[tuple[str, str], ...]:
        """The function of a norm that is kept, which knows mean, variance and epsilon."""
        affine = step.affine
        if affine is None or affine.kind != "kept":
            return ()
        kept = {use: self._kept(path, step.operation) for use, path in affine.tensors.items()}
        name, rest = _kept_name(kept), f"{kept['running_mean']}, {kept['running_var']}, {number(affine.epsilon)}"
        text = [
            f"static void {name}(const struct store *o, int32_t c, float *a, float *b)",
            "{",
            f"    kept(o, c, {rest}, a, b);",
            "}",
        ]
        return ((name, "\n".join(text)),)

    @staticmethod
    def _count(step: Fused) -> int:
        given = step.operation.settings.get("weight_shape")
        return int(given[0] if given else step.operation.out_shape[1])

    def _summed(self, step: Fused) -> None:
        """A layer: whole sums, then the outputs of them."""
        operation = step.operation
        layer = self._layer_of(operation)
        rows, shape = geometry(operation)
        merges: list[Merge] = []
        if layer is None:
            plane = Plane("plane_float16", {"bank": self._kept(operation.tensors["weight"], operation)}, largest=None)
        else:
            plane, merges = self._unpacking(layer, operation, shape)
            merges = merges if merged_fits(plane, layer.weights // layer.n) else []
        self.planes[step.output] = plane
        made = self._plain8(step, rows, plane)
        if layer is not None:
            made = replace(made, operations=total(self.plan.layers[layer.name].operations(layer, "materialized")))
        self.steps.append(replace(made, instead=tuple(self._merged8(step, rows, merge) for merge in merges)))

    def _plain8(self, step: Fused, rows: Fields, plane: Plane) -> Step:
        operation, cut = step.operation, self.numbers.get(step.output, _NONE).cut
        kernel = "linear" if operation.kind == "linear" else "convolve"
        denominator = 0 if plane.largest is None else plane.denominator
        fields = {**rows, **assigned(plane.fields), "plane": plane.function, "denominator": str(denominator)}
        fields["cut"] = str(cut)
        positions = math.prod(operation.in_shape[:-1])
        if kernel == "linear":
            fields = {name: value for name, value in fields.items() if not name.startswith("view.")}
        taps = int(rows["kh"]) * int(rows["kw"])
        scratch = positions if kernel == "linear" else math.prod(operation.out_shape[-2:]) + taps

        def call(inputs: Sequence[str], output: str, place: str) -> list[str]:
            last = f"{positions}, {place}" if kernel == "linear" else place
            store = self._store(step, output, step.affine, layered=True)
            return [*_layer(fields), *store, f"{kernel}(&l, &o, {_int8(inputs[0])}, {last});"]

        own = ((plane.function, plane.text),) if plane.text else ()
        needs = {kernel, "layer", "store", *(plane.needs if plane.text else (plane.function,))}
        made = self._made(step, call, needs | self._affine_needs(step.affine), scratch=scratch)
        return replace(made, own=(*own, *self._affine_own(step)))

    def _merged8(self, step: Fused, rows: Fields, merge: Merge) -> Step:
        fields = {**rows, **merge.fields, **merge.view(rows)}

        def call(inputs: Sequence[str], output: str, place: str) -> list[str]:
            store = self._store(step, output, step.affine, layered=True)
            last = f"{place}, {merge.height}"
            return [*_layer(fields), *store, f"merge(&l, &o, {_int8(inputs[0])}, {last});"]

        scratch = int(rows["n"]) * merge.height * int(rows["view.ow"]) + merge.words
        needs = {"merge", "layer", "store"} | self._affine_needs(step.affine)
        made = self._made(step, call, needs, scratch=scratch)
        return replace(made, operations=merge.operations, own=self._affine_own(step))

    def _normed(self, step: Fused) -> None:
        inner = math.prod(step.operation.out_shape[2:])

        def call(inputs: Sequence[str], output: str, place: str) -> list[str]:
            store = [*self._store(step, output, step.affine, layered=True), f"o.channels = {self._count(step)};"]
            return [*store, f"affine(&o, {_int8(inputs[0])}, {inner});"]

        needs = {"affine", "store"} | self._affine_needs(step.affine)
        made = self._made(step, call, needs, in_place=True)
        self.steps.append(replace(made, own=self._affine_own(step)))

    def _simple(self, step: Fused, name: str, arguments: str, fields: Sequence[str]) -> None:
        operation = step.operation

        def call(inputs: Sequence[str], output: str, place: str) -> list[str]:
            store, given = self._store(step, output), [_int8(one) for one in inputs]
            if operation.kind == "cat":
                return [*store, *_concatenated(step, given, self.numbers.get(step.output, _NONE))]
            if operation.settings.get("flipped"):
                given.reverse()
            first = "&l.view, &o" if name in _VIEWED else "&o"
            return [*store, *fields, f"{name}({first}, {', '.join(given)}, {arguments});"]

        in_place = name not in _VIEWED and operation.kind != "cat"
        self.steps.append(self._made(step, call, {name, "store"}, in_place))


def _kept_name(kept: Mapping[str, str]) -> str:
    """That of the function of a kept norm, by the place of its mean."""
    return f"kept_at_{kept['running_mean'].rpartition(' ')[2]}"


def _layer(fields: Fields) -> list[str]:
    return [f"l.{name} = {value};" for name, value in fields.items()]


def _int8(pointer: str) -> str:
    """A place of the arena as one of int8; the image is so."""
    return pointer if pointer == "image" else f"(int8_t *)({pointer})"


def _concatenated(step: Fused, inputs: Sequence[str], numbers: Numbers) -> list[str]:
    sizes: list[int] = step.operation.settings["sizes"]
    lines = list[str]()
    for i, (x, size) in enumerate(zip(inputs, sizes, strict=True)):
        factor, shift = numbers.each[i] if numbers.each else (0, 0)
        lines += [f"o.factor = {factor};", f"o.shift = {shift};", f"copy(&o, {x}, {sum(sizes[:i])}, {size});"]
    return lines


_VIEWED = ("max_pool", "average_pool", "adaptive_pool")
Arguments = tuple[str, str, list[str]]  # the kernel, its last arguments, and fields that are set before


def _sized(name: str, *rest: str) -> Callable[[Fused, Numbers], Arguments]:
    """Of as many elements as the output has; `rest` are settings."""

    def arguments(step: Fused, numbers: Numbers) -> Arguments:
        given = [str(step.operation.settings[one]) for one in rest]
        return name, ", ".join([str(math.prod(step.operation.out_shape)), *given]), []

    return arguments


def _curved(name: str, *rest: str) -> Callable[[Fused, Numbers], Arguments]:
    def arguments(step: Fused, numbers: Numbers) -> Arguments:
        given = _sized(name, *rest)(step, numbers)[1]
        return name, given, [f"o.offset = {numbers.offset};", f"o.offset_shift = {numbers.offset_shift};"]

    return arguments


def _add(step: Fused, numbers: Numbers) -> Arguments:
    return "add", f"{_sized('add', 'inner')(step, numbers)[1]}, {numbers.other}", []


def _leaky(step: Fused, numbers: Numbers) -> Arguments:
    return "leaky_relu", f"{_sized('leaky_relu')(step, numbers)[1]}, {numbers.other}", []


def _elu(step: Fused, numbers: Numbers) -> Arguments:
    name, given, fields = _curved("elu")(step, numbers)
    return name, f"{given}, {numbers.other}", fields


def _copied(step: Fused, numbers: Numbers) -> Arguments:
    return "copy", f"0, {_sized('copy')(step, numbers)[1]}", []


def _pool(*rest: str) -> Callable[[Fused, Numbers], Arguments]:
    def arguments(step: Fused, numbers: Numbers) -> Arguments:
        operation = step.operation
        view = [*operation.in_shape[2:], *operation.out_shape[2:], *operation.settings.get("stride", (1, 1))]
        given = [operation.out_shape[1]]
        for name in rest:
            value = operation.settings[name]
            given += value if isinstance(value, tuple) else [value]
        return operation.kind, ", ".join(map(str, given)), view_fields(view)

    return arguments


def _mean(step: Fused, numbers: Numbers) -> Arguments:
    settings = step.operation.settings
    return "adaptive_pool", str(settings["channels"]), view_fields([1, settings["size"], 1, 1, 1, 1])


def view_fields(view: Sequence[int]) -> list[str]:
    return [f"l.view.{one} = {value};" for one, value in zip(("ih", "iw", "oh", "ow", "sh", "sw"), view, strict=True)]


_ARGUMENTS: Mapping[str, Callable[[Fused, Numbers], Arguments]] = {
    "max_pool": _pool("kernel_size", "padding", "dilation"),
    "average_pool": _pool("kernel_size", "padding", "padded", "divisor"),
    "adaptive_pool": _pool(),
    "mean": _mean,
    "cat": _sized("copy"),
    "add": _add,
    "multiply": _sized("multiply", "inner"),
    "clamp": _copied,
    "relu": _copied,
    "leaky_relu": _leaky,
    "hard_sigmoid": _curved("hard_sigmoid", "swish"),
    "sigmoid": _curved("sigmoid", "swish"),
    "gelu": _curved("gelu"),
    "elu": _elu,
    "hyperbolic": _curved("hyperbolic"),
}
