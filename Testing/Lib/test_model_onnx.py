"""Graphs in model files are read as onnx reads them, have ONNX Runtime's shapes, or are refused with a reason."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from float_graphs import computed_sizes, convolution_graph, float_model, graph_of, unet_network  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from plans import random_model, random_plan  # noqa: E402

from LowResSegLib.errors import ModelError  # noqa: E402
from LowResSegLib.model import SUFFIX, OnnxNetwork, onnx_check, read_model, write_model  # noqa: E402
from LowResSegLib.model.onnx_check import read_graph  # noqa: E402
from LowResSegLib.model.onnx_rules import RULES  # noqa: E402
from LowResSegLib.model.onnx_shapes import follow  # noqa: E402

node = helper.make_node


def network(graph: Any, divisor: int = 1, **options: Any) -> OnnxNetwork:
    return OnnxNetwork(graph.SerializeToString(), 0.01, divisor, **options)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / f"float{SUFFIX}"
    for slices in (False, True):
        original = float_model(unet_network(slices=slices))
        write_model(path, original)
        read = read_model(path)
        assert read.kind == "onnx" and isinstance(read.network, OnnxNetwork)
        for name in ("content", "logit_unit", "size_divisor", "reach", "slices", "classes"):
            assert getattr(read.network, name) == getattr(original.network, name), name
        assert (read.name, read.labels, read.grid, read.card) == (
            original.name,
            original.labels,
            original.grid,
            original.card,
        )
        with pytest.raises(ModelError, match="no plan of ternary layers"):
            _ = read.plan
        write_model(tmp_path / "again", read)
        assert (tmp_path / "again").read_bytes() == path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            assert sorted(archive.namelist()) == ["model.json", "network.onnx"]


def test_reading_needs_no_package_but_numpy(tmp_path: Path) -> None:
    import subprocess
    import sys

    write_model(tmp_path / f"float{SUFFIX}", float_model())
    code = (
        "import sys; from pathlib import Path; from LowResSegLib.model import read_model\n"
        f"model = read_model(Path({str(tmp_path / f'float{SUFFIX}')!r}))\n"
        "assert not {'onnx', 'onnxruntime', 'google'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_graph_is_read_as_onnx_reads_it() -> None:
    values = {
        "floats": helper.make_tensor("floats", TensorProto.FLOAT, [2, 3], [1.5, -2, 0, 3, 4, 5]),
        "whole": helper.make_tensor("whole", TensorProto.INT64, [3], [1, -2, 1 << 40]),
        "small": helper.make_tensor("small", TensorProto.INT8, [2], [-128, 127]),
        "truth": helper.make_tensor("truth", TensorProto.BOOL, [2], [True, False]),
        "double": helper.make_tensor("double", TensorProto.DOUBLE, [], [1e300]),
        "half": numpy_helper.from_array(np.array([1.5], np.float16), "half"),
        "raw": numpy_helper.from_array(np.arange(6, dtype=np.int32).reshape(3, 2), "raw"),
        "empty": numpy_helper.from_array(np.zeros((0,), np.float32), "empty"),
    }
    attributes = {
        "a": 1,
        "b": -5,
        "c": 0.25,
        "d": [1, -2],
        "e": [0.5, 2.0],
        "f": "text",
        "g": ["x", "y"],
        "h": values["raw"],
    }
    graph = convolution_graph()
    graph.graph.initializer.extend(values.values())
    graph.graph.node.append(node("Relu", ["logits", "", "floats"], ["x"], **attributes))
    read = read_graph(graph.SerializeToString())
    for tensor in graph.graph.initializer:
        expected, found = numpy_helper.to_array(tensor), read.constants[tensor.name]
        assert found.values is not None and found.shape == expected.shape and found.type == expected.dtype
        np.testing.assert_array_equal(found.values, expected)
    for expected_node, found_node in zip(graph.graph.node, read.nodes):
        assert found_node[:3] == (expected_node.op_type, tuple(expected_node.input), tuple(expected_node.output))
    found_attributes = dict(read.nodes[-1].attributes)
    np.testing.assert_array_equal(found_attributes.pop("h").values, numpy_helper.to_array(values["raw"]))
    del attributes["h"]
    assert found_attributes == {k: tuple(v) if isinstance(v, list) else v for k, v in attributes.items()}
    assert (read.input, read.output, read.opset) == ("image", "logits", 17)
    assert read.input_shape == (1, 1, None, None, None) and read.output_shape == (1, 2, None, None, None)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


IMAGE = (2, 4, 6, 8)  # batch, channels, y, x
W = np.ones
# Operator, attributes, and its inputs after the image.
CASES: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("Conv", {"pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]}, [W((6, 4, 3, 3), np.float32)]),
    ("Conv", {"auto_pad": "SAME_UPPER", "strides": [4, 3]}, [W((6, 4, 3, 3), np.float32), W(6, np.float32)]),
    ("Conv", {"auto_pad": "VALID", "group": 4}, [W((4, 1, 5, 3), np.float32)]),
    ("ConvTranspose", {"strides": [2, 3], "output_padding": [1, 0]}, [W((4, 5, 3, 2), np.float32)]),
    ("ConvTranspose", {"strides": [3, 2], "pads": [0, 1, 1, 0]}, [W((4, 5, 3, 2), np.float32)]),
    ("ConvTranspose", {"group": 2, "dilations": [2, 1]}, [W((4, 5, 3, 2), np.float32)]),
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}, []),
    ("AveragePool", {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}, []),
    ("GlobalAveragePool", {}, []),
    ("GlobalMaxPool", {}, []),
    ("Concat", {"axis": -3}, [W((2, 3, 6, 8), np.float32)]),
    ("Slice", {}, [ints(1, -1), ints(99, -(1 << 62)), ints(1, 3), ints(2, -3)]),
    ("Slice", {}, [ints(0, -3), ints(2, -1)]),
    ("Pad", {"mode": "reflect"}, [ints(0, 0, 1, 2, 0, 0, 3, 0)]),
    ("Pad", {}, [ints(1, -2, 0, 0, 0, 0, 1, 0)]),
    ("Resize", {"mode": "linear"}, [None, np.array([1, 1, 1.7, 0.3], np.float32)]),
    ("Resize", {"mode": "nearest"}, [np.zeros(0, np.float32), np.zeros(0, np.float32), ints(2, 4, 5, 31)]),
    ("SpaceToDepth", {"blocksize": 2}, []),
    ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, []),
    ("Transpose", {"perm": [3, 0, 2, 1]}, []),
    ("Transpose", {}, []),
    ("Reshape", {}, [ints(0, -1, 3)]),
    ("Reshape", {}, [ints(48, 8)]),
    ("Flatten", {"axis": -2}, []),
    ("Unsqueeze", {}, [ints(0, -1)]),
    ("Expand", {}, [ints(3, 1, 4, 1, 8)]),
    ("Tile", {}, [ints(1, 2, 1, 3)]),
    ("Gather", {"axis": 1}, [np.zeros((2, 5), np.int64)]),
    ("MatMul", {}, [W((4, 8, 5), np.float32)]),
    ("ReduceMean", {"axes": [1, -1], "keepdims": 0}, []),
    ("ReduceMax", {}, []),
    ("ReduceSum", {}, [ints(2)]),
    ("ReduceL2", {"axes": [2]}, []),
    ("ReduceMin", {"axes": [2]}, []),
    ("ReduceProd", {"axes": [2]}, []),
    ("ReduceSumSquare", {"axes": [2]}, []),
    ("Cast", {"to": TensorProto.INT8}, []),
    ("Shape", {"start": 1, "end": -1}, []),
    ("BatchNormalization", {}, [W(4, np.float32)] * 4),
    ("InstanceNormalization", {}, [W(4, np.float32)] * 2),
    ("LayerNormalization", {}, [W(8, np.float32)]),
    ("Dropout", {}, []),
    ("Softmax", {"axis": 1}, []),
    ("LogSoftmax", {}, []),
    ("QuantizeLinear", {}, [np.float32(0.1), np.int8(0)]),
    ("QuantizeLinear", {}, [np.float32(0.1)]),
    ("Clip", {}, [np.float32(0), np.float32(6)]),
    ("PRelu", {}, [W((4, 1, 1), np.float32)]),
    ("Sum", {}, [W((6, 1), np.float32), W(8, np.float32)]),
    *((name, {}, [W((3, 1, 1, 1, 8), np.float32)]) for name in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Mean")),
    ("Min", {}, [W((3, 1, 1, 1, 8), np.float32)]),
    *((name, {}, [W((6, 1), np.float32)]) for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    *((name, {}, []) for name in (
        "Abs", "Celu", "Ceil", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log",
        "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Tanh",
        "ThresholdedRelu",
    )),
]  # fmt: skip


def single(operator: str, attributes: dict[str, Any], others: list[Any]) -> Any:
    """A graph of one operator on an image of four channels, with all that it gives as `out`."""
    names = ["" if array is None else f"c{position}" for position, array in enumerate(others)]
    constants = {name: np.asarray(array) for name, array in zip(names, others) if name}
    graph = graph_of([node(operator, ["image", *names], ["out"], **attributes)], constants, slices=True)
    graph.graph.node.append(node("Relu", ["image"], ["logits"]))
    graph.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "channels"
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "channels"
    return graph


def test_shapes_and_types_are_those_of_onnx_runtime() -> None:
    image = np.random.default_rng(0).uniform(0.1, 1, IMAGE).astype(np.float32)
    wrong = []
    for operator, attributes, others in CASES:
        graph = single(operator, attributes, others)
        found = follow(read_graph(graph.SerializeToString()), IMAGE)["out"]
        graph.graph.output.append(onnx.ValueInfoProto(name="out"))
        session = onnxruntime.InferenceSession(graph.SerializeToString())
        (expected,) = session.run(["out"], {"image": image})
        if (found.shape, found.type) != (expected.shape, expected.dtype):
            wrong.append((operator, attributes, found, expected.shape, expected.dtype))
        if found.known is not None:
            np.testing.assert_array_equal(found.known, expected)
    assert not wrong


def test_every_operator_that_may_be_there_was_tried() -> None:
    tried = {operator for operator, *_ in CASES}
    elsewhere = {
        "And", "Constant", "ConstantOfShape", "DequantizeLinear", "Gemm", "Mod", "Not", "Or", "Split", "Squeeze",
        "Where",
    }  # in the graphs below  # fmt: skip
    newer = {"Gelu", "Mish", "GroupNormalization"}  # of later versions of the operators, elementwise
    assert set(RULES) == tried | elsewhere | newer


def test_sizes_that_a_graph_computes_are_followed() -> None:
    graph, shape = computed_sizes(), (1, 1, 4, 6, 8)
    assert network(graph, 4).classes == 2
    read = read_graph(graph.SerializeToString())
    found = follow(read, shape)
    names = [name for made in read.nodes for name in made.outputs if name != "logits"]
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    for name, expected in zip(names, session.run(names, {"image": np.zeros(shape, np.float32)})):
        assert (found[name].shape, found[name].type) == (expected.shape, expected.dtype), name
        known = found[name].known
        if known is not None:
            np.testing.assert_array_equal(known, expected)


def test_flat_networks_with_products_and_quantised_values() -> None:
    nodes = [
        node("QuantizeLinear", ["image", "unit"], ["whole"]),
        node("DequantizeLinear", ["whole", "unit"], ["back"]),
        node("Reshape", ["back", "rows"], ["flat"]),
        node("Gemm", ["flat", "matrix"], ["mixed"], transB=1),
        node("Shape", ["image"], ["shape"]),
        node("Reshape", ["mixed", "shape"], ["one"]),
        node("Concat", ["one", "image"], ["logits"], axis=1),
    ]
    constants = {"unit": np.float32(0.01), "rows": ints(-1, 1), "matrix": np.ones((1, 1), np.float32)}
    constants = {name: np.asarray(array) for name, array in constants.items()}
    found = network(graph_of(nodes, constants, slices=True), slices=True)
    assert found.classes == 2 and found.operations_per_voxel() == 1 and found.reach == 0


def test_costs_are_counted() -> None:
    found = network(convolution_graph(classes=5))
    assert found.operations_per_voxel() == 5 * 27
    plan = random_plan(np.random.default_rng(3), 4, (4, 6))  # the graph's, which pools besides
    assert unet_network(3).operations_per_voxel() == plan.operations_per_voxel()
    costs = found.costs((4, 5, 6))
    assert costs.memory == 4 * (1 + 5) * 4 * 5 * 6 and costs.fixed == 0
    chain = graph_of(
        [node("Conv", ["image", "w"], ["a"], pads=[1] * 6), *(node("Relu", [x], [y]) for x, y in ("ab", "bc")),
         node("Add", ["c", "image"], ["logits"])],
        {"w": np.ones((3, 1, 3, 3, 3), np.float32)},
        classes=3,
    )  # fmt: skip
    assert network(chain).costs((4, 4, 4)).memory == 4 * (1 + 3) * 64  # Relu and Add write over what they read
    filled = graph_of(
        [node("Shape", ["image"], ["s"]), node("ConstantOfShape", ["s"], ["f"]), node("Tile", ["one", "four"], ["t"]),
         node("Gather", ["t", "zero"], ["g"]), node("Add", ["f", "image"], ["h"]), node("Add", ["h", "g"], ["logits"])],
        {"one": np.ones((1, 1, 1, 1), np.float32), "four": ints(4, 1, 1, 1), "zero": ints(0)},
        classes=1,
    )  # fmt: skip
    costs = network(filled).costs((4, 4, 4))
    assert costs.fixed == 4 * 4 + 4 and 2 * 4 * 64 <= costs.memory < 2 * 4 * 64 + 100


@pytest.mark.parametrize("kind", ["unet", "flat"])
def test_graphs_that_torch_exports(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import io

    functional = torch.nn.functional

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = torch.nn.Conv3d(1, 8, 3, padding=1), torch.nn.InstanceNorm3d(8, affine=True)
            self.group, self.down = torch.nn.GroupNorm(2, 8), torch.nn.Conv3d(8, 8, 3, stride=2, padding=1)
            self.up, self.last = torch.nn.ConvTranspose3d(8, 8, 2, 2), torch.nn.Conv3d(16, 4, 1)

        def forward(self, x: Any) -> Any:
            fine = functional.elu(self.group(functional.leaky_relu(self.norm(self.first(x)))))
            coarse = functional.silu(self.down(fine))
            lowest = functional.interpolate(coarse, scale_factor=0.5)
            up = self.up(functional.interpolate(lowest, size=coarse.shape[2:], mode="trilinear"))
            up = up[:, :, : x.shape[2], : x.shape[3], : x.shape[4]]
            gate = torch.sigmoid(up.mean((2, 3, 4), keepdim=True))
            return self.last(torch.cat([fine, functional.gelu(up) * gate], 1))

    class Flat(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = torch.nn.Conv2d(1, 8, 3, stride=2, padding=1), torch.nn.BatchNorm2d(8)
            self.mix, self.layer, self.last = torch.nn.Linear(8, 8), torch.nn.LayerNorm(8), torch.nn.Conv2d(2, 4, 1)

        def forward(self, x: Any) -> Any:
            value = functional.hardswish(self.norm(self.first(x)))
            tokens = self.layer(self.mix(value.flatten(2).transpose(1, 2)))
            value = value + tokens.transpose(1, 2).reshape(value.shape)
            padded = functional.pad(value, (1, 1, 1, 1), mode="reflect")
            return self.last(functional.pixel_shuffle(functional.avg_pool2d(padded, 3, 1), 2))

    flat = kind == "flat"
    axes = {0: "z", 2: "y", 3: "x"} if flat else {2: "z", 3: "y", 4: "x"}
    buffer, example = io.BytesIO(), torch.zeros((3, 1, 8, 8) if flat else (1, 1, 8, 8, 12))
    torch.manual_seed(0)
    net = (Flat() if flat else Net()).eval()
    torch.onnx.export(
        net, (example,), buffer, dynamo=False, input_names=["image"], output_names=["logits"], opset_version=17,
        dynamic_axes={"image": axes, "logits": axes},
    )  # fmt: skip
    found = OnnxNetwork(buffer.getvalue(), 0.01, 4, slices=flat)
    assert found.classes == 4
    session = onnxruntime.InferenceSession(found.content)
    for grid in ((4, 8, 12), (12, 16, 4)):
        (output,) = session.run(None, {"image": np.zeros(found.input_shape(grid), np.float32)})
        assert output.shape == found.costs(grid).output


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
