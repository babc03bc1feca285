"""What a network computes for one image, as operations on arrays in C's order, from `torch.export`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import fx, nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line
from bankwise.search_space.networks import IN_MEMORY, CannotBuild, names_code
from bankwise.search_space.packing import blank
from bankwise.search_space.plan import Plan


@dataclass(frozen=True)
class Operation:
    """`kind` is the C function, nearly, and `path` the module's. `inputs` and `output` are values, numbered; `tensors`
    are paths of parameters and buffers by their use."""

    kind: str
    path: str
    inputs: tuple[int, ...]
    output: int
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Value 0 is the image, `output` the logits."""

    operations: tuple[Operation, ...]
    sizes: dict[int, int]  # elements of every value
    output: int


def graph_of(plan: Plan, network: nn.Module | None = None) -> Graph:
    """The graph of the plan's network, or of `network` in memory.

    Raises BankwiseError, naming the module, for what has no counterpart in C.
    """
    if network is not None or plan.network == IN_MEMORY or names_code(plan.network):
        return _graph(plan.network, plan.input_shape, plan.classes, network)
    return _known(plan.network, plan.input_shape, plan.classes)


@lru_cache(maxsize=16)
def _known(network: str, input_shape: tuple[int, int, int], classes: int) -> Graph:
    return _graph(network, input_shape, classes)


def _graph(network: str, input_shape: tuple[int, int, int], classes: int, module: nn.Module | None = None) -> Graph:
    plan = Plan(network, input_shape, classes, {})
    try:
        exported = _exported(plan, module, "cpu" if module is not None else "meta")
    except (CannotBuild, _CannotExport):
        exported = _exported(plan, module, "cpu")
    return _Reader(network, *exported).graph()


@dataclass(frozen=True)
class Traced:
    """An exported program: `values` are those of the graph by the names of the nodes that make them, `stored` the
    parameters and buffers that it is given before the image, each by the first of its names."""

    program: torch.export.ExportedProgram
    values: dict[str, int]
    stored: list[str]


def traced(plan: Plan, network: nn.Module) -> Traced:
    """The program of a network with weights; its values are numbered as those of `graph_of` the plan."""
    program = _program(plan, network)
    reader = _Reader(plan.network, program, first_names(network))
    reader.graph()
    given = [
        name for node in reader.nodes if node.op == "placeholder" for name in [reader.stored.get(node.name)] if name
    ]
    return Traced(program, reader.made, given)


class _CannotExport(BankwiseError):
    """`torch.export` fails; on the meta device it may be for want of values."""


def _exported(
    plan: Plan, network: nn.Module | None, device: str
) -> tuple[torch.export.ExportedProgram, dict[str, str]]:
    """The program of the plan's network, and the first names of what it stores."""
    with torch.device(device):
        made = blank(plan, network).eval()
        return _program(plan, made), first_names(made)


def first_names(network: nn.Module) -> dict[str, str]:
    """The first name of each parameter and buffer, by all of its names: files store a shared tensor once."""
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in named}


def _program(plan: Plan, module: nn.Module) -> torch.export.ExportedProgram:
    image = torch.zeros(1, *plan.input_shape)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(module, (image,))
    except Exception as error:  # whatever a user's forward pass or torch raises
        raise _CannotExport(f"network {plan.network!r} cannot be exported to C: {error_line(error)}") from error


class _Reader:
    """Reads the nodes of an exported program in their order. `first` are the `first_names` of its module."""

    def __init__(self, network: str, program: torch.export.ExportedProgram, first: dict[str, str]):
        self.network, self.nodes = network, program.graph.nodes
        signature = program.graph_signature
        stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.stored = {node: first.get(name, name) for node, name in stored.items()}
        self.image, self.result = signature.user_inputs, signature.user_outputs
        self.values: dict[str, int] = {}  # of nodes, as they are when all before has run
        self.made: dict[str, int] = {}  # of nodes, as they make them
        self.memory: dict[str, str] = {}  # the node whose memory a node's tensor lies in
        self.sizes: dict[int, int] = {}
        self.operations: list[Operation] = []

    def graph(self) -> Graph:
        self._new(str(self.image[0]), next(node for node in self.nodes if node.name == self.image[0]))
        for node in self.nodes:
            if node.op == "call_function" and isinstance(node.meta.get("val"), torch.Tensor | tuple | list):
                self._read(node)
        if len(self.result) != 1 or self.result[0] not in self.values:
            raise BankwiseError(f"network {self.network!r} cannot be exported to C: it does not give one tensor")
        return Graph(tuple(self.operations), self.sizes, self.values[self.result[0]])

    def _new(self, name: str, node: fx.Node) -> int:
        value = len(self.sizes)
        self.values[name], self.sizes[value] = value, math.prod(node.meta["val"].shape)
        self.made[name], self.memory[name] = value, name
        return value

    def _known(self, node: fx.Node, tensors: list[fx.Node]) -> bool:
        """Whether all that it reads are values, or, of `tensors`, stored ones."""
        stored = all(one.name in self.stored for one in tensors)
        return stored and all(one.name in self.values or one in tensors for one in _tensor_arguments(node))

    def _read(self, node: fx.Node) -> None:
        written = str(getattr(node.target, "_schema", node.target)).partition("(")[0]
        name = written.removeprefix("aten::").partition(".")[0]
        changes = name.endswith("_")
        name = name.rstrip("_")
        given = [one for one in node.all_input_nodes if one.name in self.values]
        if name in VIEWS and len(given) == 1 and _same_order(name, node):
            self.values[node.name] = self.values[given[0].name]
            self.memory[node.name] = node.name if _copies(name, node) else self.memory[given[0].name]
            return
        reader, out = READERS.get(name), node.meta["val"]
        found = reader(_Arguments(node)) if reader and given and isinstance(out, torch.Tensor) else None
        if found is None or not self._known(node, [one for one in found[2].values() if one is not None]):
            raise BankwiseError(f"network {self.network!r}: {_place(node)} cannot run in C ({name})")
        shapes = tuple(given[0].meta["val"].shape), tuple(out.shape)
        if name in MAPS and shapes[0][0] != 1:
            raise BankwiseError(
                f"network {self.network!r}: {_place(node)} cannot run in C ({name} of {'x'.join(map(str, shapes[0]))}: "
                "parts of an image lie in the batch dimension, which must be 1)"
            )
        kind, settings, tensors = found
        inputs = tuple(self.values[one.name] for one in _tensor_arguments(node) if one.name in self.values)
        value = self._new(node.name, node)
        paths = {use: self.stored[one.name] for use, one in tensors.items() if one is not None}
        self.operations.append(Operation(kind, _path(node), inputs, value, *shapes, settings, paths))
        if changes:  # who reads the changed tensor later on reads the result; who has a copy does not
            self.memory[node.name] = self.memory[given[0].name]
            self.values |= {other: value for other, one in self.memory.items() if one == self.memory[node.name]}


def _tensor_arguments(node: fx.Node) -> list[fx.Node]:
    """The tensors that it is given, one as often as it is."""
    first = node.args[0]
    every = [*first, *node.args[1:]] if isinstance(first, list | tuple) else node.args
    return [one for one in every if isinstance(one, fx.Node)]


def _path(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _place(node: fx.Node) -> str:
    """The module, by its path and type."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1][:2] if stack else ("", "")
    kind = str(kind if isinstance(kind, str) else getattr(kind, "__name__", kind)).rpartition(".")[2]
    return f"{path} ({kind})" if path else kind or str(node)


class _Arguments:
    """Those of a node by their names in the operator's schema, with its defaults."""

    def __init__(self, node: fx.Node):
        schema: Any = node.target._schema  # type: ignore[union-attr]
        names = [one.name for one in schema.arguments]
        defaults = {one.name: one.default_value for one in schema.arguments if one.has_default_value()}
        self.node, self.values = node, {**defaults, **dict(zip(names, node.args, strict=False)), **node.kwargs}
        self.out: torch.Tensor = node.meta["val"]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def pair(self, name: str) -> tuple[int, int]:
        """Two numbers, of which one may stand for both."""
        first, *others = self.values[name]
        return int(first), int(others[0] if others else first)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.values[name].meta["val"].shape)


VIEWS = (
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone", "dropout", "alias",
    "detach", "_to_copy", "to", "feature_dropout", "alpha_dropout", "_unsafe_view", "lift_fresh_copy",
)  # fmt: skip
MAPS = ("conv2d", "batch_norm", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")  # in C they are of one image
Found = tuple[str, dict[str, Any], dict[str, Any]] | None  # kind, settings, tensors; None: not in C


def _same_order(name: str, node: fx.Node) -> bool:
    """Whether its elements are those of its input in the same order: views are, but for other types."""
    given, made = node.all_input_nodes[0].meta["val"], node.meta["val"]
    same = given.dtype == made.dtype and given.numel() == made.numel()
    return same and not ("dropout" in name and len(node.args) > 2 and bool(node.args[2]))


def _copies(name: str, node: fx.Node) -> bool:
    """Whether it has memory of its own. Dropout that drops nothing is its input, whatever the exported values say."""
    given, made = node.all_input_nodes[0].meta["val"], node.meta["val"]
    alike = given.untyped_storage()._cdata == made.untyped_storage()._cdata
    return not alike and "dropout" not in name


def _conv2d(given: _Arguments) -> Found:
    stride, dilation = given.pair("stride"), given.pair("dilation")
    shape = given.shape("weight")
    if len(shape) != 4 or len(given.out.shape) != 4:
        return None
    padding = given["padding"]
    if padding == "valid":
        pads = (0, 0)
    elif padding == "same":
        pads = (dilation[0] * (shape[2] - 1) // 2, dilation[1] * (shape[3] - 1) // 2)
    else:
        pads = given.pair("padding")
    settings = {
        "weight_shape": shape, "stride": stride, "padding": pads, "dilation": dilation, "groups": given["groups"],
    }  # fmt: skip
    return "conv2d", settings, {"weight": given["weight"], "bias": given["bias"]}


def _linear(given: _Arguments) -> Found:
    return "linear", {"weight_shape": given.shape("weight")}, {"weight": given["weight"], "bias": given["bias"]}


def _batch_norm(given: _Arguments) -> Found:
    uses = ("weight", "bias", "running_mean", "running_var")
    if given["training"] or given["running_mean"] is None:
        return None
    return "batch_norm", {"epsilon": given["eps"]}, {use: given[use] for use in uses}


def _max_pool(given: _Arguments) -> Found:
    if len(given.out.shape) != 4:
        return None
    stride = given.pair("stride" if given["stride"] else "kernel_size")
    names = ("kernel_size", "padding", "dilation")
    return "max_pool", {"stride": stride, **{name: given.pair(name) for name in names}}, {}


def _average_pool(given: _Arguments) -> Found:
    if len(given.out.shape) != 4:
        return None
    stride = given.pair("stride" if given["stride"] else "kernel_size")
    settings = {"stride": stride, "kernel_size": given.pair("kernel_size"), "padding": given.pair("padding")}
    padded, divisor = int(given["count_include_pad"]), int(given["divisor_override"] or 0)
    return "average_pool", {**settings, "padded": padded, "divisor": divisor}, {}


def _adaptive_pool(given: _Arguments) -> Found:
    return ("adaptive_pool", {}, {}) if len(given.out.shape) == 4 else None


def _mean(given: _Arguments) -> Found:
    """Over the last dimensions, such as those of a map."""
    shape, dims = given.shape("self"), given["dim"]
    if dims is None or not dims:
        return None
    averaged = sorted(dim % len(shape) for dim in dims)
    if averaged != list(range(len(shape) - len(averaged), len(shape))):
        return None
    return "mean", {"channels": math.prod(shape[: -len(averaged)]), "size": math.prod(shape[-len(averaged) :])}, {}


def _cat(given: _Arguments) -> Found:
    shapes = [tensor.meta["val"].shape for tensor in given["tensors"]]
    if math.prod(shapes[0][: given["dim"] % len(shapes[0])]) != 1:
        return None
    return "cat", {"sizes": [math.prod(shape) for shape in shapes]}, {}


def _pairwise(kind: str) -> Callable[[_Arguments], Found]:
    """Of two tensors, alike or the second one value a channel."""

    def read(given: _Arguments) -> Found:
        a, b = given["self"], given["other"]
        if not (isinstance(a, fx.Node) and isinstance(b, fx.Node)) or given.values.get("alpha", 1) != 1:
            return None
        shape, other = given.shape("self"), given.shape("other")
        flipped = math.prod(shape) < math.prod(other)
        shape, other = (other, shape) if flipped else (shape, other)
        if shape != other and other != (*shape[:2], *(1 for _ in shape[2:])) or tuple(given.out.shape) != shape:
            return None
        return kind, {"inner": math.prod(shape) // math.prod(other), "flipped": flipped}, {}

    return read


def _clamp(given: _Arguments) -> Found:
    low, high = (given.values.get(name) for name in ("min", "max"))
    if not all(one is None or isinstance(one, int | float) for one in (low, high)):
        return None
    return "clamp", {"low": low, "high": high}, {}


def _elu(given: _Arguments) -> Found:
    """Not of scales, such as SELU's."""
    usual = given.values.get("scale", 1) == 1 and given.values.get("input_scale", 1) == 1
    return ("elu", {"alpha": given["alpha"]}, {}) if usual else None


def _settled(kind: str, **settings: Any) -> Callable[[_Arguments], Found]:
    return lambda given: (kind, settings, {})


READERS: dict[str, Callable[[_Arguments], Found]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "max_pool2d": _max_pool,
    "avg_pool2d": _average_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
    "mean": _mean,
    "cat": _cat,
    "concat": _cat,
    "add": _pairwise("add"),
    "mul": _pairwise("multiply"),
    "relu": _settled("relu"),
    "relu6": _settled("clamp", low=0.0, high=6.0),
    "clamp": _clamp,
    "hardtanh": lambda given: ("clamp", {"low": given["min_val"], "high": given["max_val"]}, {}),
    "leaky_relu": lambda given: ("leaky_relu", {"slope": given["negative_slope"]}, {}),
    "hardsigmoid": _settled("hard_sigmoid", swish=0),
    "hardswish": _settled("hard_sigmoid", swish=1),
    "sigmoid": _settled("sigmoid", swish=0),
    "silu": _settled("sigmoid", swish=1),
    "tanh": _settled("hyperbolic"),
    "gelu": lambda given: ("gelu", {"by_tanh": int(given["approximate"] == "tanh")}, {}),
    "elu": _elu,
}
