"""A plan as an ONNX graph of standard operators, for ONNX Runtime and for viewers.

Trits are stored as unsigned bytes t + 1 with zero point 1. A ternary convolution with its two thresholds is one
QLinearConv and one Clip: with weights doubled, a bias of -(upper + lower - 1) and an output scale of
2 (upper - lower), the requantiser rounds to at least +1 exactly where the sum reaches `upper`, and to at most -1
exactly where it is below `lower`.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from LowResSegLib.model import Layer, Plan

_OPSET = 13
_IR_VERSION = 8


class _Graph:
    """Nodes and constants as they accumulate."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        """Add a constant; returns its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Add a node; returns the name of its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output


def _shape(layer: Layer) -> dict[str, list[int]]:
    """Kernel, zero padding and stride as ONNX has them."""
    pads = [edge // 2 for edge in layer.kernel]
    return {"kernel_shape": list(layer.kernel), "pads": pads * 2, "strides": list(layer.factor)}


def _thresholded(graph: _Graph, layer: Layer, name: str, source: str) -> str:
    """A convolution with two thresholds; `source` holds trits, or intensities as they are."""
    assert layer.weights is not None and layer.lower is not None and layer.upper is not None
    trits = layer.operation == "ternary"
    one = graph.constant(f"{name}.one", np.array(1, np.float32))
    scale = (0.5 / (layer.upper - layer.lower)).astype(np.float32)
    inputs = [
        source,
        one,
        graph.constant(f"{name}.input_zero", np.array(1 if trits else 0, np.uint8)),
        graph.constant(f"{name}.weights", (2 * layer.weights.astype(np.int16)).astype(np.int8)),
        graph.constant(f"{name}.scale", scale),
        graph.constant(f"{name}.weights_zero", np.zeros(layer.channels, np.int8)),
        one,
        graph.constant(f"{name}.output_zero", np.array(1, np.uint8)),
        graph.constant(f"{name}.bias", (1 - layer.upper - layer.lower).astype(np.int32)),
    ]
    wide = graph.node("QLinearConv", inputs, f"{name}.wide", **_shape(layer))
    low = graph.constant(f"{name}.low", np.array(0, np.uint8))
    high = graph.constant(f"{name}.high", np.array(2, np.uint8))
    return graph.node("Clip", [wide, low, high], name)


def _logits(graph: _Graph, layer: Layer, name: str, source: str) -> str:
    """Integer weights on trits as a float32 convolution, exact since its sums are small, cast to int16."""
    assert layer.weights is not None and layer.offset is not None
    one = graph.constant(f"{name}.one", np.array(1, np.float32))
    zero = graph.constant(f"{name}.zero", np.array(1, np.uint8))
    trits = graph.node("DequantizeLinear", [source, one, zero], f"{name}.trits")
    inputs = [
        trits,
        graph.constant(f"{name}.weights", layer.weights.astype(np.float32)),
        graph.constant(f"{name}.offset", layer.offset.astype(np.float32)),
    ]
    sums = graph.node("Conv", inputs, f"{name}.sums", **_shape(layer))
    return graph.node("Cast", [sums], name, to=TensorProto.INT16)


def onnx_model(plan: Plan, name: str = "lowresseg") -> onnx.ModelProto:
    """The graph of a plan: `image` uint8 (1, 1, z, y, x), 0 to 127, to `logits` int16 (1, classes, z, y, x)."""
    graph = _Graph()
    names: list[str] = []
    for position, layer in enumerate(plan.layers):
        inputs = [names[source] for source in layer.inputs]
        this = f"{layer.operation}_{position}"
        if layer.operation == "image":
            this = "image"
        elif layer.operation == "max_pool":
            graph.node("MaxPool", inputs, this, kernel_shape=list(layer.factor), strides=list(layer.factor))
        elif layer.operation == "upsample":
            scales = graph.constant(f"{this}.scales", np.array([1, 1, *layer.factor], np.float32))
            graph.node(
                "Resize", [*inputs, "", scales], this, mode="nearest", coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )  # fmt: skip
        elif layer.operation == "concatenate":
            graph.node("Concat", inputs, this, axis=1)
        elif layer.operation == "logits":
            this = _logits(graph, layer, "logits", inputs[0])
        else:
            _thresholded(graph, layer, this, inputs[0])
        names.append(this)
    shape = ["z", "y", "x"]
    content = helper.make_graph(
        graph.nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.INT16, [1, plan.classes, *shape])],
        graph.constants,
    )
    model = helper.make_model(content, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="lowresseg")
    model.ir_version = _IR_VERSION
    return model
