"""The shapes of all values of an ONNX graph for a grid of a given size, and what they cost.

Only the operators that have a rule in `onnx_rules` may be in a model file. Values that depend on shapes alone, by which
graphs compute sizes, are worked out (`onnx_known`). So it is known before a run how much memory it takes, and a graph
that would enlarge a small file to far more than any network needs is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from LowResSegLib.model.onnx_check import MAX_KNOWN, MAX_RANK, TYPES, Graph, Node, Tensor, damaged
from LowResSegLib.model.onnx_known import work_out
from LowResSegLib.model.onnx_rules import COMPARING, JOINING, RULES, UNARY, content_of, part_of
from LowResSegLib.model.onnx_step import MAX_SIZE, Shape, Step, Value


@dataclass(frozen=True)
class Costs:
    """What a run of a graph takes.

    Attributes:
        output: shape of the output.
        memory: most bytes of the values that are alive at one time, without what is the same for all images.
        fixed: bytes of computed values that are the same for all images.
        operations: multiply-accumulates of convolutions and matrix products.
        pooled: voxels that pooling looks at, each as often as it does.
    """

    output: Shape
    memory: int
    fixed: int
    operations: int
    pooled: int


def follow(graph: Graph, shape: Shape) -> dict[str, Value]:
    """What is known of each value of a graph.

    Args:
        graph: as `read_graph` gave it.
        shape: of the graph's input.

    Raises:
        ModelError: an operator that has no rule, or shapes that do not fit each other.
    """
    values = {name: Value(tensor.shape, tensor.type, tensor.values, True) for name, tensor in graph.constants.items()}
    values[graph.input] = Value(tuple(shape), np.dtype(np.float32), None, False)
    for node in graph.nodes:
        values.update(zip(node.outputs, _outputs(_step(graph, node, values))))
    return values


def costs_of(graph: Graph, shape: Shape) -> Costs:
    """What a run takes; arguments and errors are those of `follow`."""
    values = follow(graph, shape)
    last = {name: position for position, node in enumerate(graph.nodes) for name in node.inputs}
    last[graph.output] = len(graph.nodes)
    alive = memory = values[graph.input].bytes
    fixed = operations = pooled = 0
    for position, node in enumerate(graph.nodes):
        made = [values[name] for name in node.outputs]
        fixed += sum(value.bytes for value in made if value.fixed)
        alive += sum(value.bytes for value in made if not value.fixed)
        operations += _operations(_step(graph, node, values), made[0].shape)
        if node.operator in ("AveragePool", "MaxPool"):
            pooled += math.prod(made[0].shape) * math.prod(node.attributes["kernel_shape"])
        dying = [name for name in {*node.inputs, *node.outputs} if name and last.get(name, position) == position]
        memory = max(memory, alive - _spared(node, values, dying))
        alive -= sum(values[name].bytes for name in dying if not values[name].fixed)
    return Costs(values[graph.output].shape, memory, fixed, operations, pooled)


def _step(graph: Graph, node: Node, values: dict[str, Value]) -> Step:
    return Step(node, [values[name] if name else None for name in node.inputs], graph.opset)


def _spared(node: Node, values: dict[str, Value], dying: Sequence[str]) -> int:
    """Bytes that a node does not need because it writes over its first input."""
    if node.operator not in UNARY + JOINING or node.inputs[0] not in dying:
        return 0
    first, output = values[node.inputs[0]], values[node.outputs[0]]
    return 0 if first.fixed or first.bytes != output.bytes else output.bytes


def _outputs(step: Step) -> list[Value]:
    """What a node writes."""
    node = step.node
    if node.operator not in RULES:
        raise damaged(f"has the operator {node.operator!r}, which model files may not have")
    if not node.outputs or "" in node.outputs or (len(node.outputs) > 1 and node.operator != "Split"):
        raise step.wrong("has other outputs than one")
    if not step.inputs and node.operator != "Constant":
        raise step.wrong("lacks an input")
    shapes = RULES[node.operator](step)
    if any(len(shape) > MAX_RANK or min(shape, default=0) < 0 or math.prod(shape) > MAX_SIZE for shape in shapes):
        raise step.wrong("makes a value of an impossible size")
    kind = _type(step)
    present = [value for value in step.inputs if value is not None]
    fixed = all(value.fixed for value in present)
    known = _known(step, present, shapes[0], kind)
    if known is not None and (known.shape != shapes[0] or known.dtype != kind):
        raise step.wrong()
    return [Value(shape, kind, known, fixed) for shape in shapes]


def _known(step: Step, present: Sequence[Value], shape: Shape, kind: np.dtype[Any]) -> Optional[np.ndarray]:
    """The elements of a node's output, where they are few and hang on shapes alone."""
    operator = step.node.operator
    if operator == "Shape":
        return np.array(step.shape()[part_of(step)], np.int64)
    if operator == "Constant":
        return content_of(step)[2]
    arrays = [value.known for value in present]
    if math.prod(shape) > MAX_KNOWN or any(array is None for array in arrays):
        return None
    try:
        return work_out(step.node, [array for array in arrays if array is not None], shape, kind)
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise step.wrong() from error


def _type(step: Step) -> np.dtype[Any]:
    """Type of the elements that a node writes."""
    operator = step.node.operator
    if operator == "Constant":
        return content_of(step)[1]
    if operator == "ConstantOfShape":
        value = step.node.attributes.get("value")
        return value.type if isinstance(value, Tensor) else np.dtype(np.float32)
    if operator == "Shape":
        return np.dtype(np.int64)
    if operator in COMPARING:
        return np.dtype(bool)
    if operator == "Cast":
        if step.attribute("to", 0) not in TYPES:
            raise step.wrong("makes values of a kind that model files do not have")
        return TYPES[step.attribute("to", 0)][0]
    if operator == "QuantizeLinear":
        return step.value(2).type if step.has(2) else np.dtype(np.uint8)
    if operator == "DequantizeLinear":
        return step.value(1).type
    return step.value(1 if operator == "Where" else 0).type


def _operations(step: Step, output: Shape) -> int:
    """Multiply-accumulates of a node."""
    operator = step.node.operator
    if operator == "Conv":
        return math.prod(output) * math.prod(step.shape(1)[1:])
    if operator == "ConvTranspose":
        return math.prod(step.shape()) * math.prod(step.shape(1)[1:])
    if operator == "MatMul":
        return math.prod(output) * step.shape()[-1]
    if operator == "Gemm":
        return math.prod(output) * step.shape()[0 if step.attribute("transA", 0) else 1]
    return 0
