"""Graphs that no model file may have are refused with a reason."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from float_graphs import computed_sizes, convolution_graph, float_model, graph_of, ints, network  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from plans import random_model  # noqa: E402

from LowResSegLib.errors import ModelError  # noqa: E402
from LowResSegLib.model import SUFFIX, OnnxNetwork, onnx_check, read_model, write_model  # noqa: E402

node = helper.make_node


# What is changed in a sound graph, and how it is refused.
def add(*nodes: Any, **constants: np.ndarray) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        graph.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
        graph.graph.node.extend(nodes)

    return change


def body() -> Any:
    return helper.make_graph([node("Relu", ["x"], ["y"])], "body", [], [])


def external(graph: Any) -> None:
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def external_in_silence(graph: Any) -> None:
    entry = graph.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def doubled(attribute: str) -> Callable[[Any], None]:
    return lambda graph: getattr(graph.graph, attribute).append(getattr(graph.graph, attribute)[0])


def fixed_size(graph: Any) -> None:
    graph.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 64


def sparse(graph: Any) -> None:
    values, places = numpy_helper.from_array(np.ones(1, np.float32), "s"), numpy_helper.from_array(ints(0), "i")
    graph.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [9]))


def function(graph: Any) -> None:
    graph.functions.append(helper.make_function("own", "F", ["a"], ["b"], [], graph.opset_import))


REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "another operator set": (lambda g: g.opset_import.append(helper.make_opsetid("com.microsoft", 1)), "standard ones"),
    "an operator of another set": (add(node("Gelu", ["logits"], ["x"], domain="com.microsoft")), "standard ones"),
    "too new operators": (lambda g: setattr(g.opset_import[0], "version", 99), "version 99"),
    "too old operators": (lambda g: setattr(g.opset_import[0], "version", 9), "version 9"),
    "too new a format": (lambda g: setattr(g, "ir_version", 99), "another version"),
    "If": (add(node("If", ["c"], ["x"], then_branch=body(), else_branch=body()), c=np.array(True)), "inside a graph"),
    "Loop": (add(node("Loop", ["", "c"], ["x"], body=body()), c=np.array(True)), "inside a graph"),
    "Scan": (add(node("Scan", ["image"], ["x"], body=body(), num_scan_inputs=1)), "inside a graph"),
    "Loop without its body": (add(node("Loop", ["", "c"], ["x"]), c=np.array(True)), "operator 'Loop'"),
    "an unknown operator": (add(node("System", ["image"], ["x"])), "operator 'System'"),
    "an operator of chance": (add(node("RandomNormalLike", ["image"], ["x"])), "operator 'RandomNormalLike'"),
    "data in another file": (external, "another file"),
    "a place of data in another file": (external_in_silence, "another file"),
    "data that are said to be elsewhere": (
        lambda g: setattr(g.graph.initializer[0], "data_location", TensorProto.EXTERNAL), "another file",
    ),
    "sparse tensors": (sparse, "sparse"),
    "functions": (function, "functions of its own"),
    "training": (lambda g: g.training_info.add(), "training"),
    "text": (lambda g: g.graph.initializer.append(helper.make_tensor("t", TensorProto.STRING, [1], [b"x"])), "text"),
    "two inputs": (doubled("input"), "one input and one output"),
    "two outputs": (doubled("output"), "one input and one output"),
    "a constant twice": (doubled("initializer"), "name twice"),
    "a value twice": (doubled("node"), "writes a value twice"),
    "a value before it is there": (add(node("Relu", ["later"], ["x"])), "before it is there"),
    "another input": (lambda g: setattr(g.graph.input[0], "name", "other"), "before it is there"),
    "no output": (lambda g: setattr(g.graph.output[0], "name", "other"), "does not write its output"),
    "no nodes": (lambda g: g.graph.ClearField("node"), "0 operations"),
    "a size that is fixed": (fixed_size, "one size alone"),
    "an input of another kind": (
        lambda g: setattr(g.graph.input[0].type.tensor_type, "elem_type", TensorProto.UINT8), "from float32",
    ),
    "fewer axes": (lambda g: g.graph.input[0].type.tensor_type.shape.dim.pop(), "number of axes"),
    "more channels": (
        lambda g: setattr(g.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 3), "more than one image",
    ),
    "fewer numbers": (lambda g: setattr(g.graph.initializer[0], "raw_data", b"1234"), "more or fewer numbers"),
    "a shape that is none": (lambda g: g.graph.initializer[0].dims.append(-1), "impossible shape"),
    "another number of classes": (
        lambda g: setattr(g.graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 3), "number of classes",
    ),
    "sizes that do not fit": (add(node("Add", ["image", "s"], ["x"]), s=np.ones((7, 11), np.float32)), "does not fit"),
    "sizes that the image's values say": (add(node("Reshape", ["image", "image"], ["x"])), "from the image"),
    "an operator that is not one everywhere": (
        add(node("ReduceSum", ["image"], ["x"], noop_with_empty_axes=1)), "noop_with_empty_axes",
    ),
    "a value that is made in vain": (
        add(node("ConstantOfShape", ["s"], ["x"]), s=ints(100_000, 10_000)), "than a model needs",
    ),
    "a value of impossible size": (add(node("Tile", ["image", "s"], ["x"]), s=ints(*[1 << 20] * 5)), "impossible size"),
    "an image enlarged": (
        add(node("Resize", ["image", "", "s"], ["x"]), s=np.array([1, 1, 30, 30, 30], np.float32)), "more memory",
    ),
    "every voxel with every other one": (
        add(node("Reshape", ["image", "s"], ["a"]), node("Transpose", ["a"], ["b"]), node("MatMul", ["a", "b"], ["x"]),
            s=ints(-1, 1)), "more memory",
    ),
    "each voxel with all around it": (
        add(node("MaxPool", ["image"], ["x"], kernel_shape=[401] * 3, pads=[200] * 6)), "memory or time",
    ),
    "many nodes": (
        add(*(node("Relu", ["image"], [f"x{n}"]) for n in range(onnx_check.MAX_NODES))), "operations, not 1",
    ),
    "many parts": (
        lambda g: g.graph.initializer.append(helper.make_tensor("m", TensorProto.INT64, [600_000], [0] * 600_000)),
        "more parts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_may_not_be_in_a_graph_is_refused_with_a_reason(case: tuple[Callable[[Any], object], str]) -> None:
    change, reason = case
    graph = convolution_graph()
    network(graph)
    change(graph)
    with pytest.raises(ModelError, match=reason):
        network(graph)


def test_a_graph_in_two_pieces_is_refused_as_readers_join_them() -> None:
    """Protocol buffers join messages that come twice: what is read as the last one alone would not be what runs."""
    sound, other = convolution_graph(), graph_of([node("Loop", ["", ""], ["x"])])
    del other.graph.input[:], other.graph.output[:]
    piece = onnx.ModelProto(graph=other.graph).SerializeToString()
    joined = onnx.load_from_string(piece + sound.SerializeToString())
    assert [entry.op_type for entry in joined.graph.node] == ["Loop", "Conv"]
    with pytest.raises(ModelError, match=r"a part twice \(graph\)"):
        OnnxNetwork(piece + sound.SerializeToString(), 0.01)


def test_the_resolution_and_the_divisor_belong_together() -> None:
    halved = graph_of(
        [node("MaxPool", ["image"], ["small"], kernel_shape=[2] * 3, strides=[2] * 3),
         node("Resize", ["small", "", "scales"], ["large"]), node("Concat", ["large", "image"], ["logits"], axis=1)],
        {"scales": np.array([1, 1, 2, 2, 2], np.float32)},
    )  # fmt: skip
    assert network(halved, 2).classes == 2
    with pytest.raises(ModelError, match=r"does not fit its inputs|resolution of its input"):
        network(halved, 1)
    coarse = graph_of([node("MaxPool", ["image"], ["logits"], kernel_shape=[2] * 3, strides=[2] * 3)], classes=1)
    with pytest.raises(ModelError, match="resolution of its input"):
        network(coarse, 2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"logit_unit": 0.0}, "positive"),
        ({"logit_unit": float("nan")}, "positive"),
        ({"size_divisor": 0}, "divisor"),
        ({"size_divisor": 1.0}, "divisor"),
        ({"reach": -1}, "reach"),
        ({"reach": True}, "reach"),
        ({"slices": 1}, "neither true nor false"),
        ({"slices": True, "reach": 3}, "on its own"),
        ({"slices": True}, "number of axes"),
    ],
    ids=str,
)
def test_numbers_beside_the_graph_have_their_bounds(options: dict[str, Any], reason: str) -> None:
    fields = {"content": convolution_graph().SerializeToString(), "logit_unit": 0.01, **options}
    with pytest.raises(ModelError, match=reason):
        OnnxNetwork(**fields)


def test_a_file_whose_parts_do_not_belong_together(tmp_path: Path) -> None:
    path = tmp_path / f"x{SUFFIX}"
    model = float_model()
    with pytest.raises(ModelError, match="labels do not fit"):
        write_model(path, replace(model, labels=model.labels[:-1]))
    with pytest.raises(ModelError, match="grid does not fit"):
        write_model(path, replace(model, grid=replace(model.grid, divisor=1)))
    assert not path.exists()
    write_model(path, model)
    other = tmp_path / f"other{SUFFIX}"
    write_model(other, random_model(np.random.default_rng(0)))
    with zipfile.ZipFile(path) as first, zipfile.ZipFile(other) as second:
        description, numbers = first.read("model.json"), second.read("network.bin")
    with zipfile.ZipFile(path, "w") as mixed:
        mixed.writestr("model.json", description)
        mixed.writestr("network.bin", numbers)
    with pytest.raises(ModelError, match="not of the kind that its description says"):
        read_model(path)


def test_half_a_graph_and_changed_bytes_are_refused_or_harmless() -> None:
    content, rng, refused = computed_sizes().SerializeToString(), np.random.default_rng(0), 0
    for length in range(0, len(content), 7):
        with pytest.raises(ModelError):
            OnnxNetwork(content[:length], 0.01, 4)
    for _ in range(500):
        mutant = bytearray(content)
        mutant[rng.integers(len(mutant))] = rng.integers(256)
        try:
            OnnxNetwork(bytes(mutant), 0.01, 4)
        except ModelError:
            refused += 1
    assert 300 < refused < 500
