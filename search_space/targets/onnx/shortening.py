"""A graph in fewer bytes: constants that are alike once, and short names for what has no name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto


_MOST_EQUAL = 16  # numbers that are stored though they are all the same


def share_constants(model: ModelProto) -> None:
    """Make constants of the graph initializers, those that are alike one; many equal numbers are made when it runs."""
    import onnx

    names: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    made: list[NodeProto] = []
    nodes = []

    def named(tensor: TensorProto) -> str:
        text = tensor.SerializeToString(deterministic=True)
        if text not in names:
            names[text] = tensor.name = f"constant{len(names)}"
            model.graph.initializer.append(tensor)
        return names[text]

    for node in model.graph.node:
        if node.op_type != "Constant" or node.attribute[0].name != "value":
            nodes.append(node)
            continue
        values = onnx.numpy_helper.to_array(node.attribute[0].t)
        if values.size > _MOST_EQUAL and (values == values.flat[0]).all():
            shape = named(_compact(np.array(values.shape)))
            one = onnx.numpy_helper.from_array(values.reshape(-1)[:1])
            made.append(onnx.helper.make_node("ConstantOfShape", [shape], [node.output[0]], value=one))
        else:
            renamed[node.output[0]] = named(_compact(values))
    del model.graph.node[:]
    model.graph.node.extend([*made, *nodes])
    _rename(model.graph, renamed)


def join_reshapes(model: ModelProto) -> None:
    """A reshape of what was only reshaped reads from before; operators whose results none reads are dropped."""
    before = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Reshape"}
    for node in model.graph.node:
        while node.op_type == "Reshape" and node.input[0] in before:
            node.input[0] = before[node.input[0]]
    while True:
        read = {name for one in _graphs(model.graph) for node in one.node for name in node.input}
        read |= {tensor.name for one in _graphs(model.graph) for tensor in one.output}
        dead = [node for node in model.graph.node if read.isdisjoint(node.output)]
        if not dead:
            break
        for node in dead:
            model.graph.node.remove(node)
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)


def share_operators(model: ModelProto) -> None:
    """Operators alike in all but the name of their result are one; attributes at their defaults are left out."""
    import onnx

    opset, nodes = model.opset_import[0].version, []
    seen: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        node.ClearField("name")
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if onnx.defs.has(node.op_type, opset, node.domain):
            known = onnx.defs.get_schema(node.op_type, opset, node.domain).attributes
            given = [one for one in node.attribute if one != known[one.name].default_value]
            del node.attribute[:]
            node.attribute.extend(given)
        result = list(node.output)
        del node.output[:]
        key = node.SerializeToString(deterministic=True)
        node.output.extend(result)
        if key in seen and len(result) == 1:
            renamed[result[0]] = seen[key]
        else:
            seen[key] = result[0]
            nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _rename(model.graph, renamed)


def shorten_names(model: ModelProto, kept: frozenset[str]) -> None:
    """Number all tensors but the `kept`, and drop the names of operators."""
    renamed: dict[str, str] = {}
    for graph in _graphs(model.graph):
        for tensor in graph.initializer:
            renamed.setdefault(tensor.name, np.base_repr(len(renamed), 36).lower())
        for node in graph.node:
            node.ClearField("name")
            for name in node.output:
                renamed.setdefault(name, np.base_repr(len(renamed), 36).lower())
    _rename(model.graph, {name: short for name, short in renamed.items() if name and name not in kept})


def _compact(values: np.ndarray) -> TensorProto:
    """A tensor without name; whole numbers take as many bytes as they need."""
    import onnx

    if values.dtype == np.int64:
        return onnx.helper.make_tensor("", onnx.TensorProto.INT64, values.shape, values.reshape(-1).tolist())
    return onnx.numpy_helper.from_array(values)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those in its operators, such as the branches of a condition."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(inner)


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    for one in _graphs(graph):
        for tensor in (*one.initializer, *one.input, *one.output):
            tensor.name = names.get(tensor.name, tensor.name)
        for node in one.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
