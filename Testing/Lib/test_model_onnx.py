"""Graphs in model files are read as onnx reads them and have ONNX Runtime's shapes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from float_graphs import computed_sizes, convolution_graph, float_model, graph_of, ints, network, unet_network  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from plans import random_plan  # noqa: E402

from LowResSegLib.errors import ModelError  # noqa: E402
from LowResSegLib.model import SUFFIX, OnnxNetwork, read_model, write_model  # noqa: E402
from LowResSegLib.model.onnx_check import read_graph  # noqa: E402
from LowResSegLib.model.onnx_rules import RULES  # noqa: E402
from LowResSegLib.model.onnx_shapes import follow  # noqa: E402

node = helper.make_node


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
