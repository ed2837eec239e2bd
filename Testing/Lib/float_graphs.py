"""Small ONNX graphs and models with them, made with the package onnx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from plans import random_plan

from LowResSegLib.estimate.float_network import float_graph
from LowResSegLib.model import Model, OnnxNetwork
from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.slabs import reach
from LowResSegLib.volume import Label


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    constants: Optional[dict[str, np.ndarray]] = None,
    classes: Any = 2,
    *,
    slices: bool = False,
    opset: int = 17,
) -> onnx.ModelProto:
    """A graph from `image` to `logits` of axes that are left open."""
    axes: list[Any] = ["z", classes, "y", "x"] if slices else [1, classes, "z", "y", "x"]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [axes[0], 1, *axes[2:]]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, axes),
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "test", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


def convolution_graph(classes: int = 2, slices: bool = False, scale: float = 1.0) -> onnx.ModelProto:
    """One convolution with a kernel of 3 voxels along each axis."""
    axes = 2 if slices else 3
    weights = np.random.default_rng(0).normal(0, scale, (classes, 1, *(3,) * axes)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "weights"], ["logits"], pads=[1] * (2 * axes))
    return graph_of([node], {"weights": weights}, classes, slices=slices)


def computed_sizes() -> onnx.ModelProto:
    """A graph that computes, from the image's shape, to which sizes it enlarges, as exporters write it."""
    nodes = [
        helper.make_node("MaxPool", ["image"], ["small"], kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
        helper.make_node("Shape", ["small"], ["shape"]),
        helper.make_node("Constant", [], ["two"], value_int=2),
        helper.make_node("Constant", [], ["picked"], value_ints=[2, 3, 4]),
        helper.make_node("Gather", ["shape", "picked"], ["zyx"]),
        helper.make_node("Mul", ["zyx", "two"], ["thrice"]),
        helper.make_node("Div", ["thrice", "two"], ["again"]),
        helper.make_node("Mod", ["again", "again"], ["unused"]),
        helper.make_node("Constant", [], ["below"], value_ints=[-7, 7]),
        helper.make_node("Div", ["below", "two"], ["towards_zero"]),
        helper.make_node("Sub", ["thrice", "again"], ["less"]),
        helper.make_node("Add", ["less", "again"], ["more"]),
        helper.make_node("Slice", ["shape", "zero", "two_of_them"], ["nc"]),
        helper.make_node("ConstantOfShape", ["one_of_them"], ["ones"], value=numpy_helper.from_array(np.array([1]))),
        helper.make_node("Equal", ["ones", "one_of_them"], ["same"]),
        helper.make_node("Not", ["same"], ["other"]),
        helper.make_node("Or", ["same", "other"], ["either"]),
        helper.make_node("And", ["either", "same"], ["both"]),
        helper.make_node("Where", ["same", "one_of_them", "ones"], ["chosen"]),
        helper.make_node("Squeeze", ["chosen"], ["scalar"]),
        helper.make_node("Unsqueeze", ["scalar", "zero"], ["vector"]),
        helper.make_node("Cast", ["more"], ["cast"], to=TensorProto.INT64),
        helper.make_node("Concat", ["nc", "cast"], ["sizes"], axis=0),
        helper.make_node("Resize", ["small", "", "", "sizes"], ["large"], mode="linear"),
        helper.make_node("Split", ["small"], ["left", "right"], axis=4),
        helper.make_node("Concat", ["left", "right"], ["joined"], axis=4),
        helper.make_node("Concat", ["large", "image"], ["logits"], axis=1),
    ]
    constants = {"zero": np.array([0]), "two_of_them": np.array([2]), "one_of_them": np.array([1])}
    return graph_of(nodes, constants)


def unet_network(seed: int = 0, classes: int = 4, slices: bool = False, unit: float = 0.01) -> OnnxNetwork:
    """A small float U-Net, which depends on no voxel farther away than it says."""
    flat: dict[str, Any] = {"kernel": (1, 3, 3), "factor": (1, 2, 2)} if slices else {}
    plan = random_plan(np.random.default_rng(seed), classes, (4, 6), **flat)
    content = float_graph(plan.layers).SerializeToString()
    return OnnxNetwork(content, unit, plan.size_divisor, None if slices else reach(plan), slices)


def float_model(network: Optional[OnnxNetwork] = None, spacing: float = 2.0, name: str = "float") -> Model:
    """A model around a network."""
    network = network or unet_network()
    labels = tuple(Label(value, f"Structure {value}", (40 * value, 200, 10)) for value in range(network.classes))
    grid = GridSettings(spacing, "RAS", network.size_divisor)
    return Model(name, labels, grid, Normalisation(), network, {"title": "Float", "limits": "For tests alone."})


def network(graph: Any, divisor: int = 1, **options: Any) -> OnnxNetwork:
    """A graph as model files have it."""
    return OnnxNetwork(graph.SerializeToString(), 0.01, divisor, **options)


def ints(*numbers: int) -> np.ndarray:
    """Whole numbers as a graph has them."""
    return np.array(numbers, np.int64)
