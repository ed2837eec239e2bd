"""Values of an ONNX graph that hang on shapes alone, such as the sizes to which a graph enlarges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np

from LowResSegLib.model.onnx_check import Node, Tensor

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Abs": np.abs, "Add": np.add, "Ceil": np.ceil, "Equal": np.equal, "Floor": np.floor, "Greater": np.greater,
    "Identity": np.array, "Less": np.less, "Max": np.maximum, "Min": np.minimum, "Mul": np.multiply, "Neg": np.negative,
    "Sub": np.subtract, "Where": np.where,
}  # fmt: skip
_RESHAPING = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")


def work_out(
    node: Node, inputs: Sequence[np.ndarray], shape: tuple[int, ...], kind: np.dtype[Any]
) -> Optional[np.ndarray]:
    """The output of a node.

    Args:
        node: the node.
        inputs: their elements.
        shape: of the output.
        kind: of the output.

    Returns:
        An array of this shape and kind; None where the operator is none by which graphs compute sizes.

    Raises:
        ArithmeticError, IndexError, TypeError, ValueError: the inputs do not fit.
    """
    operator, first = node.operator, inputs[0]
    if "" in node.inputs:
        return None
    with np.errstate(all="ignore"):
        if operator in _RESHAPING:
            return first.reshape(shape)
        if operator == "Cast":
            return first.astype(kind)
        if operator == "Expand":
            return np.broadcast_to(first, shape).astype(kind)
        if operator == "ConstantOfShape":
            value = node.attributes.get("value")
            filled = value.values.ravel()[0] if isinstance(value, Tensor) and value.values is not None else 0
            return np.full(shape, filled, kind)
        if operator == "Concat":
            return np.concatenate(inputs, node.attributes.get("axis", 0))
        if operator == "Gather":
            return np.take(first, inputs[1], node.attributes.get("axis", 0))
        if operator == "Transpose":
            return first.transpose(node.attributes.get("perm"))
        if operator == "Slice":
            return _sliced(inputs)
        if operator == "Div":
            return _divided(first, inputs[1]).astype(kind)
        if operator in _ELEMENTWISE and (len(inputs) < 3 or operator == "Where"):
            return np.asarray(_ELEMENTWISE[operator](*inputs)).astype(kind)
    return None


def _divided(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A quotient; of whole numbers towards zero, as ONNX has it."""
    if first.dtype.kind == "f":
        return first / second
    if not second.all():
        raise ZeroDivisionError
    return np.sign(first) * np.sign(second) * (np.abs(first) // np.abs(second))


def _sliced(inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Part of an array; the inputs are array, starts, ends, and axes and steps if they are not the default."""
    array, starts, ends = inputs[0], inputs[1].tolist(), inputs[2].tolist()
    axes = inputs[3].tolist() if len(inputs) > 3 else list(range(len(starts)))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    index = [slice(None)] * array.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        index[axis] = slice(start, end, step)
    return array[tuple(index)]
