"""A network of a plan's shape in float32, as an ONNX graph: what a ternary network is compared with in speed.

Where the plan has thresholds it has a ReLU; weights are the plan's, scaled so that values neither grow nor fade. What
it gives means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from LowResSegLib.model import Layer, Plan

_OPSET = 13
_IR_VERSION = 8


def is_flat(layers: Sequence[Layer]) -> bool:
    """Whether no layer mixes slices, so that the graph is 2-D and slices are its batch."""
    kernels = all(layer.weights is None or layer.weights.shape[2] == 1 for layer in layers)
    return kernels and all(layer.factor[0] == 1 for layer in layers)


def float_graph(layers: Sequence[Layer]) -> onnx.ModelProto:
    """The graph of a plan's layers, or of the first ones of them.

    Args:
        layers: the first one is an image, here of any number of channels.

    Returns:
        A graph from `input`, float32 (1, channels, z, y, x), or (z, channels, y, x) where `is_flat`, to `output`, the
        last layer's values, float32.
    """
    flat = is_flat(layers)
    axes = ["y", "x"] if flat else ["z", "y", "x"]
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    names: list[str] = []

    def constant(name: str, array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    for position, layer in enumerate(layers):
        name = "output" if position == len(layers) - 1 else f"{layer.operation}_{position}"
        inputs = [names[source] for source in layer.inputs]
        factor = layer.factor[1:] if flat else layer.factor
        if layer.operation == "image":
            name = "input"
        elif layer.operation == "max_pool":
            nodes.append(helper.make_node("MaxPool", inputs, [name], name, kernel_shape=factor, strides=factor))
        elif layer.operation == "upsample":
            scales = constant(f"{name}.scales", np.array([1, 1, *factor], np.float32))
            nodes.append(
                helper.make_node(
                    "Resize", [*inputs, "", scales], [name], name, mode="nearest",
                    coordinate_transformation_mode="asymmetric", nearest_mode="floor",
                )
            )  # fmt: skip
        elif layer.operation == "concatenate":
            nodes.append(helper.make_node("Concat", inputs, [name], name, axis=1))
        else:
            weights = _scaled(layer)[:, :, 0] if flat else _scaled(layer)
            kernel = weights.shape[2:]
            last = layer.operation == "logits"
            sums = name if last else f"{name}.sums"
            nodes.append(
                helper.make_node(
                    "Conv", [*inputs, constant(f"{name}.weights", weights)], [sums], sums,
                    kernel_shape=kernel, pads=[edge // 2 for edge in kernel] * 2, strides=factor,
                )
            )  # fmt: skip
            if not last:
                nodes.append(helper.make_node("Relu", [sums], [name], name))
        names.append(name)
    batch = "z" if flat else 1
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, layer.channels, *axes])
        for name, layer in (("input", layers[0]), ("output", layers[-1]))
    ]
    graph = helper.make_graph(nodes, "float32", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="lowresseg")
    model.ir_version = _IR_VERSION
    return model


def float_run(plan: Plan, shape: tuple[int, ...], threads: int) -> Callable[[], object]:
    """What runs a plan's float32 graph once, in ONNX Runtime, on a grid of noise of this shape (z, y, x)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads take no time from others
    content = float_graph(plan.layers).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    grid = np.random.default_rng(0).random(shape, np.float32)
    values = grid[:, None] if is_flat(plan.layers) else grid[None, None]
    return lambda: session.run(None, {"input": values})


def _scaled(layer: Layer) -> np.ndarray:
    """A convolution's weights as float32, such that values of variance 1 stay so."""
    assert layer.weights is not None
    weights = layer.weights.astype(np.float32)
    energy = np.square(weights).reshape(len(weights), -1).sum(1).mean()
    return weights * np.float32(np.sqrt(2 / max(energy, 1e-6)))
