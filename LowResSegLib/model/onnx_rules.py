"""What each operator of ONNX that a model file may have makes of the shapes of its inputs, as the standard has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from LowResSegLib.model.onnx_check import MAX_KNOWN, Tensor
from LowResSegLib.model.onnx_step import MAX_SIZE, Shape, Step, broadcast

Rule = Callable[[Step], list[Shape]]


def _same(step: Step) -> list[Shape]:
    return [step.shape()]


def _broadcast(step: Step) -> list[Shape]:
    shapes = [value.shape for value in step.inputs if value is not None]
    return [broadcast(step, shapes)]


def _windows(step: Step, kernel: Shape) -> Shape:
    """Sizes after a kernel was moved over the first input's axes behind the second one."""
    sizes, count = step.shape()[2:], len(kernel)
    if len(sizes) != count or not count:
        raise step.wrong()
    strides, dilations = step.each("strides", count, 1, 1), step.each("dilations", count, 1, 1)
    pads, automatic = step.each("pads", 2 * count, 0, 0), step.attribute("auto_pad", "NOTSET")
    if automatic.startswith("SAME"):
        return tuple(-(-size // stride) for size, stride in zip(sizes, strides))
    if automatic not in ("NOTSET", "VALID") or step.attribute("ceil_mode", 0):
        raise step.wrong("rounds its sizes in a way that model files do not have")
    added = [pads[axis] + pads[axis + count] if automatic == "NOTSET" else 0 for axis in range(count)]
    return tuple(
        (size + more - dilation * (edge - 1) - 1) // stride + 1
        for size, more, edge, stride, dilation in zip(sizes, added, kernel, strides, dilations)
    )


def _kernel(step: Step) -> Shape:
    """The kernel of a convolution's weights."""
    weights = step.shape(1)
    if len(weights) != len(step.shape()) or len(weights) < 3 or min(weights) < 1:
        raise step.wrong()
    if step.attribute("kernel_shape", weights[2:]) != weights[2:]:
        raise step.wrong("has a wrong kernel_shape")
    return weights[2:]


def _convolution(step: Step) -> list[Shape]:
    kernel, weights, group = _kernel(step), step.shape(1), step.attribute("group", 1)
    if group < 1 or weights[0] % group or step.shape()[1] != weights[1] * group:
        raise step.wrong()
    return [(step.shape()[0], weights[0], *_windows(step, kernel))]


def _transposed(step: Step) -> list[Shape]:
    kernel, weights, group = _kernel(step), step.shape(1), step.attribute("group", 1)
    count = len(kernel)
    if group < 1 or step.shape()[1] != weights[0] or weights[0] % group or "output_shape" in step.node.attributes:
        raise step.wrong()
    if step.attribute("auto_pad", "NOTSET") != "NOTSET":
        raise step.wrong("rounds its sizes in a way that model files do not have")
    strides, dilations = step.each("strides", count, 1, 1), step.each("dilations", count, 1, 1)
    pads, more = step.each("pads", 2 * count, 0, 0), step.each("output_padding", count, 0, 0)
    sizes = (
        stride * (size - 1) + extra + dilation * (edge - 1) + 1 - pads[axis] - pads[axis + count]
        for axis, (size, stride, extra, dilation, edge) in enumerate(
            zip(step.shape()[2:], strides, more, dilations, kernel)
        )
    )
    return [(step.shape()[0], weights[1] * group, *sizes)]


def _pool(step: Step) -> list[Shape]:
    count = len(step.shape()) - 2
    if count < 1:
        raise step.wrong()
    return [(*step.shape()[:2], *_windows(step, step.each("kernel_shape", count, 0, 1)))]


def _pool_all(step: Step) -> list[Shape]:
    return [(*step.shape()[:2], *(1 for _ in step.shape()[2:]))]


def _concat(step: Step) -> list[Shape]:
    shapes = [step.shape(position) for position in range(len(step.inputs))]
    axis = step.axis(step.attribute("axis", 0), len(step.shape()))
    if len({(len(shape), shape[:axis], shape[axis + 1 :]) for shape in shapes}) != 1:
        raise step.wrong()
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _split(step: Step) -> list[Shape]:
    shape, count = step.shape(), len(step.node.outputs)
    axis = step.axis(step.attribute("axis", 0), len(shape))
    part = -(-shape[axis] // count)
    sizes = [part] * (count - 1) + [shape[axis] - part * (count - 1)]
    if step.has(1):
        sizes = step.whole(1)
    elif step.opset < 18 and shape[axis] % count:
        raise step.wrong()
    if len(sizes) != count or sum(sizes) != shape[axis] or min(sizes) < 0:
        raise step.wrong()
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _slice(step: Step) -> list[Shape]:
    shape, starts, ends = list(step.shape()), step.whole(1), step.whole(2)
    axes = step.axes(3, len(shape)) if step.has(3) else list(range(len(starts)))
    steps = step.whole(4) if step.has(4) else [1] * len(starts)
    if axes is None or not len(starts) == len(ends) == len(axes) == len(steps) <= len(shape) or 0 in steps:
        raise step.wrong()
    for start, end, axis, stride in zip(starts, ends, axes, steps):
        shape[axis] = len(range(*slice(start, end, stride).indices(shape[axis])))
    return [tuple(shape)]


def _pad(step: Step) -> list[Shape]:
    shape, pads = list(step.shape()), step.whole(1)
    axes = (step.axes(3, len(shape)) if step.has(3) else None) or list(range(len(shape)))
    if len(pads) != 2 * len(axes):
        raise step.wrong()
    for position, axis in enumerate(axes):
        shape[axis] += pads[position] + pads[position + len(axes)]
    return [tuple(shape)]


def _resize(step: Step) -> list[Shape]:
    shape = list(step.shape())
    stretched = step.attribute("keep_aspect_ratio_policy", "stretch") == "stretch"
    if not stretched or step.attribute("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise step.wrong("crops, which model files do not have")
    axes = [step.axis(axis, len(shape)) for axis in step.attribute("axes", tuple(range(len(shape))))]
    by_scale = step.has(2) and len(step.numbers(2)) > 0
    numbers = step.numbers(2) if by_scale else step.whole(3)
    if len(numbers) != len(axes) or not all(0 < number < MAX_SIZE for number in numbers):
        raise step.wrong()
    for axis, number in zip(axes, numbers):
        shape[axis] = int(np.float32(number) * np.float32(shape[axis])) if by_scale else number
    return [tuple(shape)]


def _depth_to_space(step: Step) -> list[Shape]:
    shape, edge = step.shape(), step.attribute("blocksize", 0)
    if len(shape) != 4 or edge < 1 or shape[1] % edge**2:
        raise step.wrong()
    return [(shape[0], shape[1] // edge**2, shape[2] * edge, shape[3] * edge)]


def _space_to_depth(step: Step) -> list[Shape]:
    shape, edge = step.shape(), step.attribute("blocksize", 0)
    if len(shape) != 4 or edge < 1 or shape[2] % edge or shape[3] % edge:
        raise step.wrong()
    return [(shape[0], shape[1] * edge**2, shape[2] // edge, shape[3] // edge)]


def _transpose(step: Step) -> list[Shape]:
    shape = step.shape()
    order = step.attribute("perm", tuple(reversed(range(len(shape)))))
    if sorted(order) != list(range(len(shape))):
        raise step.wrong("has a wrong perm")
    return [tuple(shape[axis] for axis in order)]


def _reshape(step: Step) -> list[Shape]:
    shape, wanted = step.shape(), step.whole(1)
    if not step.attribute("allowzero", 0):
        if any(size == 0 and axis >= len(shape) for axis, size in enumerate(wanted)):
            raise step.wrong()
        wanted = [size or shape[axis] for axis, size in enumerate(wanted)]
    if wanted.count(-1) == 1:
        others = -math.prod(wanted)
        if others <= 0:
            raise step.wrong()
        wanted = [math.prod(shape) // others if size == -1 else size for size in wanted]
    if min(wanted, default=0) < 0 or math.prod(wanted) != math.prod(shape):
        raise step.wrong()
    return [tuple(wanted)]


def _flatten(step: Step) -> list[Shape]:
    shape, axis = step.shape(), step.attribute("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise step.wrong("names an axis that is not there")
    return [(math.prod(shape[:axis]), math.prod(shape[axis:]))]


def _squeeze(step: Step) -> list[Shape]:
    shape = step.shape()
    axes = step.axes(1, len(shape))
    axes = [axis for axis, size in enumerate(shape) if size == 1] if axes is None else axes
    if any(shape[axis] != 1 for axis in axes):
        raise step.wrong()
    return [tuple(size for axis, size in enumerate(shape) if axis not in axes)]


def _unsqueeze(step: Step) -> list[Shape]:
    shape, numbers = list(step.shape()), step.whole(1)
    for axis in sorted(step.axes(1, len(shape) + len(numbers)) or []):
        shape.insert(axis, 1)
    return [tuple(shape)]


def _expand(step: Step) -> list[Shape]:
    return [broadcast(step, [step.shape(), tuple(step.whole(1))])]


def _tile(step: Step) -> list[Shape]:
    shape, times = step.shape(), step.whole(1)
    if len(shape) != len(times):
        raise step.wrong()
    return [tuple(size * number for size, number in zip(shape, times))]


def _gather(step: Step) -> list[Shape]:
    shape = step.shape()
    axis = step.axis(step.attribute("axis", 0), len(shape))
    return [(*shape[:axis], *step.shape(1), *shape[axis + 1 :])]


def _product(step: Step) -> list[Shape]:
    first, second = step.shape(), step.shape(1)
    if len(first) < 2 or len(second) < 2 or first[-1] != second[-2]:
        raise step.wrong()
    return [(*broadcast(step, [first[:-2], second[:-2]]), first[-2], second[-1])]


def _gemm(step: Step) -> list[Shape]:
    first, second = step.shape(), step.shape(1)
    if len(first) != 2 or len(second) != 2:
        raise step.wrong()
    first = first[::-1] if step.attribute("transA", 0) else first
    second = second[::-1] if step.attribute("transB", 0) else second
    if first[1] != second[0]:
        raise step.wrong()
    return [(first[0], second[1])]


def _reduce(step: Step) -> list[Shape]:
    shape = step.shape()
    axes = step.axes(1, len(shape))
    if step.attribute("noop_with_empty_axes", 0):  # which versions of ONNX Runtime understand differently
        raise step.wrong("has a noop_with_empty_axes")
    axes = axes or list(range(len(shape)))
    if step.attribute("keepdims", 1):
        return [tuple(1 if axis in axes else size for axis, size in enumerate(shape))]
    return [tuple(size for axis, size in enumerate(shape) if axis not in axes)]


def _shape(step: Step) -> list[Shape]:
    return [(len(step.shape()[part_of(step)]),)]


def part_of(step: Step) -> slice:
    """Which sizes the operator Shape gives."""
    return slice(step.attribute("start", 0), step.attribute("end", len(step.shape())))


def _constant(step: Step) -> list[Shape]:
    return [content_of(step)[0]]


def content_of(step: Step) -> tuple[Shape, np.dtype[Any], Optional[np.ndarray]]:
    """Shape, type and elements of what the operator Constant gives."""
    if len(step.node.attributes) != 1:
        raise step.wrong("has not one value")
    ((name, value),) = step.node.attributes.items()
    if name == "value" and isinstance(value, Tensor):
        return value.shape, value.type, value.values
    kinds: dict[str, type] = {
        "value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32
    }  # fmt: skip
    if name not in kinds or len(value if isinstance(value, tuple) else ()) > MAX_KNOWN:
        raise step.wrong("has a value of a kind that model files do not have")
    array: np.ndarray = np.array(value, kinds[name])
    return array.shape, array.dtype, array


def _constant_of_shape(step: Step) -> list[Shape]:
    return [tuple(step.whole(0))]


UNARY = (
    "Abs", "Celu", "Ceil", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus",
    "Softsign", "Sqrt", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_NORMALISING = (
    "BatchNormalization", "Cast", "DequantizeLinear", "Dropout", "GroupNormalization", "InstanceNormalization",
    "LayerNormalization", "LogSoftmax", "QuantizeLinear", "Softmax",
)  # fmt: skip
COMPARING = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
JOINING = ("Add", "And", "Div", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where")
_REDUCING = ("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare")
RULES: dict[str, Rule] = {
    **dict.fromkeys((*UNARY, *_NORMALISING), _same),
    **dict.fromkeys((*COMPARING, *JOINING), _broadcast),
    **dict.fromkeys(_REDUCING, _reduce),
    "AveragePool": _pool, "Concat": _concat, "Constant": _constant, "ConstantOfShape": _constant_of_shape,
    "Conv": _convolution, "ConvTranspose": _transposed, "DepthToSpace": _depth_to_space, "Expand": _expand,
    "Flatten": _flatten, "Gather": _gather, "Gemm": _gemm, "GlobalAveragePool": _pool_all, "GlobalMaxPool": _pool_all,
    "MatMul": _product, "MaxPool": _pool, "Pad": _pad, "Reshape": _reshape, "Resize": _resize, "Shape": _shape,
    "Slice": _slice, "SpaceToDepth": _space_to_depth, "Split": _split, "Squeeze": _squeeze, "Tile": _tile,
    "Transpose": _transpose, "Unsqueeze": _unsqueeze,
}  # fmt: skip
