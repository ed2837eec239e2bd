"""What the engine is compared with: the same networks in float32 and int8 on ONNX Runtime and OpenVINO.

Int8 is static quantisation: unsigned activations, signed weights with a scale for each channel, written as pairs of
QuantizeLinear and DequantizeLinear around the float32 graph, which both runtimes turn into integer convolutions;
`Baseline.check` looks whether they did. Graphs take and give uint8, so no conversion from float32 is timed.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tables import BASELINES, ORT_FLOAT, ORT_INT8, OV_INT8

from LowResSegLib.estimate.float_network import float_graph
from LowResSegLib.model import Layer

Run = Callable[[], object]

_STEP = 1 / 32  # of quantised activations, which then reach to 8 standard deviations


def installed() -> tuple[str, ...]:
    """Those of BASELINES that can be measured here."""
    openvino = importlib.util.find_spec("openvino") is not None
    return tuple(kind for kind in BASELINES if openvino or kind.startswith("ORT"))


def quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The int8 form of a graph of `float_graph`; its `input` and `output` are uint8."""
    graph = model.graph
    floats = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    read: set[str] = set()
    constants = [
        numpy_helper.from_array(np.array(_STEP, np.float32), "step"),
        numpy_helper.from_array(np.array(0, np.uint8), "zero"),
    ]

    def real(quantity: str) -> str:
        """Float32 of a quantised value, for one reader or several."""
        if quantity not in read:
            read.add(quantity)
            nodes.append(helper.make_node("DequantizeLinear", [quantity, "step", "zero"], [f"{quantity}.real"]))
        return f"{quantity}.real"

    def real_weights(name: str) -> str:
        weights = floats.pop(name)
        step = np.abs(weights).reshape(len(weights), -1).max(1) / 127
        each = step.reshape(-1, *[1] * (weights.ndim - 1))
        constants.append(numpy_helper.from_array(np.rint(weights / each).astype(np.int8), f"{name}.int8"))
        constants.append(numpy_helper.from_array(step.astype(np.float32), f"{name}.step"))
        constants.append(numpy_helper.from_array(np.zeros(len(weights), np.int8), f"{name}.zero"))
        inputs = [f"{name}.int8", f"{name}.step", f"{name}.zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}.real"], axis=0))
        return f"{name}.real"

    sums = {node.input[0] for node in graph.node if node.op_type == "Relu"}
    for node in graph.node:
        inputs = list(node.input)
        if node.op_type == "Concat":
            inputs = [real(name) for name in inputs]
        elif node.op_type != "Relu":  # that reads a convolution's sums, which stay as they are
            inputs[0] = real(inputs[0])
        if node.op_type == "Conv":
            inputs[1] = real_weights(inputs[1])
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        copy.ClearField("input")
        copy.input.extend(inputs)
        nodes.append(copy)
        name = node.output[0]
        if name not in sums:
            copy.output[0] = f"{name}.wide"
            nodes.append(helper.make_node("QuantizeLinear", [f"{name}.wide", "step", "zero"], [name]))
    constants.extend(numpy_helper.from_array(array, name) for name, array in floats.items())
    result = onnx.ModelProto.FromString(model.SerializeToString())
    for field, content in (("node", nodes), ("initializer", constants)):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(content)
    for end in (result.graph.input[0], result.graph.output[0]):
        end.type.tensor_type.elem_type = TensorProto.UINT8
    onnx.checker.check_model(result)
    return result


class Baseline:
    """One network on one runtime.

    Attributes:
        kind: one of BASELINES.
        convolutions: how each convolution is computed, by the runtime's own account.
    """

    def __init__(self, kind: str, layers: Sequence[Layer], shape: tuple[int, ...], threads: int) -> None:
        """Make it ready to run.

        Args:
            kind: one of BASELINES.
            layers: see `float_graph`.
            shape: of the input, as the graph has it.
            threads: at most so many.
        """
        self.kind = kind
        model = float_graph(layers)
        values = np.random.default_rng(0).integers(0, 64, shape).astype(np.uint8)
        if kind in (ORT_INT8, OV_INT8):
            model = quantised(model)
        else:
            values = values.astype(np.float32) * np.float32(_STEP)
        start = _onnx_runtime if kind in (ORT_FLOAT, ORT_INT8) else _openvino
        self.run, self.convolutions = start(model, values, threads)

    def check(self) -> None:
        """Raise RuntimeError where a network that shall be int8 is not."""
        wrong = [name for name in self.convolutions if "QLinearConv" not in name and "I8" not in name.upper()]
        if self.kind in (ORT_INT8, OV_INT8) and (wrong or not self.convolutions):
            raise RuntimeError(f"{self.kind} runs convolutions that are not int8: {', '.join(wrong) or 'none at all'}.")


def _onnx_runtime(model: onnx.ModelProto, values: np.ndarray, threads: int) -> tuple[Run, list[str]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads would take time from the next runtime in turn; while it runs, they may spin as they are made to.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
    return lambda: session.run(None, {"input": values}), [node.op_type for node in nodes if "Conv" in node.op_type]


def _openvino(model: onnx.ModelProto, values: np.ndarray, threads: int) -> tuple[Run, list[str]]:
    import openvino

    core = openvino.Core()
    network = core.read_model(model.SerializeToString())
    network.reshape(list(values.shape))
    # Without the hint a processor with bfloat16 would compute float32 networks in that.
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(network, "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(values, shared_memory=True))
    kinds = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    found = [str(kind["primitiveType"].value) for kind in kinds if kind["layerType"].value == "Convolution"]

    def run(held: object = (compiled, values)) -> None:  # the request has only their addresses
        request.infer()

    return run, found


def matrix_product(kind: str, edge: int = 1536) -> tuple[Run, float]:
    """A product of square float32 matrices on one thread, and its GMAC: the processor's float32 peak, as measured."""
    generator = np.random.default_rng(0)
    left, right = (generator.random((edge, edge), np.float32) for _ in range(2))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [edge, edge]) for name in ("input", "output")]
    nodes = [helper.make_node("MatMul", ["input", "right"], ["output"])]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], [numpy_helper.from_array(right, "right")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    start = _onnx_runtime if kind == ORT_FLOAT else _openvino
    return start(model, left, 1)[0], edge**3 / 1e9
