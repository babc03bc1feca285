"""Fewer bytes, the same values: shared constants, numbers that are made, joined reshapes, short names."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bankwise.search_space.targets.onnx.shortening import (
    join_reshapes,
    share_constants,
    share_operators,
    shorten_names,
)


def constant(name: str, values: np.ndarray) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], name=f"node.{name}", value=numpy_helper.from_array(values))


def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(x: tuple[int, ...], y: tuple[int, ...], *nodes: onnx.NodeProto, initializers=()) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [tensor("x", *x)], [tensor("y", *y)], list(initializers))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def run(made: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(made, full_check=True)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_equal_constants_are_one_and_many_equal_numbers_are_made():
    two, many = np.array(2.0, np.float32), np.full((40,), 0.5, np.float32)
    made = model(
        (40,), (40,),
        constant("a", two), constant("b", two), constant("c", many),
        helper.make_node("Mul", ["x", "a"], ["p"]), helper.make_node("Add", ["p", "b"], ["q"]),
        helper.make_node("Mul", ["q", "c"], ["y"]),
    )  # fmt: skip
    x = np.arange(40, dtype=np.float32)
    wanted = run(made, x)
    share_constants(made)
    assert np.array_equal(run(made, x), wanted) and np.array_equal(wanted, (2 * x + 2) / 2)
    assert [node.op_type for node in made.graph.node] == ["ConstantOfShape", "Mul", "Add", "Mul"]
    assert sorted(list(one.dims) for one in made.graph.initializer) == [[], [1]]


def test_a_reshape_of_a_reshape_reads_what_was_before_it():
    made = model(
        (3, 2), (2, 3),
        helper.make_node("Reshape", ["x", "a"], ["p"]), helper.make_node("Reshape", ["p", "b"], ["q"]),
        helper.make_node("Relu", ["q"], ["y"]), helper.make_node("Neg", ["x"], ["unused"]),
        initializers=[numpy_helper.from_array(np.array(s, np.int64), n) for n, s in (("a", [6]), ("b", [2, 3]))],
    )  # fmt: skip
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    join_reshapes(made)
    assert [(node.op_type, node.input[0]) for node in made.graph.node] == [("Reshape", "x"), ("Relu", "q")]
    assert [one.name for one in made.graph.initializer] == ["b"]
    assert np.array_equal(run(made, x), x.reshape(2, 3))


def test_operators_that_are_alike_are_one_and_defaults_are_left_out():
    made = model(
        (2, 3), (2, 3),
        helper.make_node("LeakyRelu", ["x"], ["a"], alpha=0.01), helper.make_node("LeakyRelu", ["x"], ["b"]),
        helper.make_node("LeakyRelu", ["x"], ["c"], alpha=0.5), helper.make_node("Mul", ["a", "b"], ["d"]),
        helper.make_node("Split", ["d"], ["e", "f"], axis=1, num_outputs=2),
        helper.make_node("Concat", ["f", "e"], ["g"], axis=1), helper.make_node("Add", ["g", "c"], ["y"]),
    )  # fmt: skip
    x = np.arange(-3, 3, dtype=np.float32).reshape(2, 3)
    wanted = run(made, x)
    share_operators(made)
    assert np.array_equal(run(made, x), wanted)
    found = [(node.op_type, list(node.input), [one.name for one in node.attribute]) for node in made.graph.node]
    assert found[:3] == [("LeakyRelu", ["x"], []), ("LeakyRelu", ["x"], ["alpha"]), ("Mul", ["a", "a"], [])]
    assert len(found) == 6


def test_short_names_reach_into_branches():
    branches = [
        helper.make_graph([helper.make_node(op, ["inside.long"], [f"{op}.long"])], op, [],
                          [tensor(f"{op}.long", 2)])
        for op in ("Neg", "Relu")
    ]  # fmt: skip
    made = model(
        (2,), (2,),
        helper.make_node("Mul", ["x", "kept"], ["inside.long"], name="a.long.name"),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1]),
        initializers=[numpy_helper.from_array(np.array(3.0, np.float32), "kept"),
                      numpy_helper.from_array(np.array(True), "yes")],
    )  # fmt: skip
    shorten_names(made, frozenset(("x", "y", "kept")))
    assert np.array_equal(run(made, np.ones(2, np.float32)), np.full(2, -3.0, np.float32))
    assert "long" not in str(made) and "kept" in str(made)
