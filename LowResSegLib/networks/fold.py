"""From a trained ternary network to the plan that is deployed, and that plan as a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.model import Layer, Plan, check_plan
from LowResSegLib.model.plan import MAX_INTENSITY, MAX_LOGIT
from LowResSegLib.networks.ternary import (
    ACTIVATION_THRESHOLD,
    INTENSITY_SCALE,
    IntegerConv2d,
    IntegerConv3d,
)
from LowResSegLib.networks.trunk import Network, Trunk

FOLDABLE = ("ternary", "ternary_soft")


def fold(network: Union[Trunk, Network]) -> Plan:
    """The plan of a ternary network: batch norm and ternarisation become two integer thresholds a channel.

    A 2-D network becomes a plan of slices: kernels of depth 1, and pooling along y and x alone. If it has 3 or 5
    inputs, they are the neighbouring slices of a volume, of which the middle one gets the logits.

    Raises:
        ValueError: the network has values that no plan holds (it is not ternary, or pools or joins in another way).
    """
    trunk = network.trunk if isinstance(network, Network) else network
    settings = trunk.settings
    if settings.precision not in FOLDABLE:
        raise ValueError(f"Only a ternary network can be folded; the precision of this one is {settings.precision}.")
    if settings.inputs not in ((1,) if settings.dimensions == 3 else (1, 3, 5)):
        raise ValueError(
            f"A network of {settings.inputs} inputs cannot be folded: a plan reads one image, or 3 or 5 slices."
        )
    steps = PlanSteps(settings.dimensions)
    try:
        current = trunk.walk(steps, 0)
    except NotImplementedError as error:
        raise ValueError(f"This network cannot be folded: {error}") from error
    logits, unit = _fold_logits(trunk.last, current)
    steps.add(logits)
    check_plan(steps.layers)
    return Plan(tuple(steps.layers), unit)


class PlanSteps:
    """The steps of `trunk.TorchSteps` on a growing list of layers; a value is the position of its layer."""

    def __init__(self, dimensions: int) -> None:
        self.layers = [Layer("image", (), 1)]
        self.factor = (2, 2, 2) if dimensions == 3 else (1, 2, 2)

    def add(self, layer: Layer) -> int:
        """Append a layer and return its position."""
        self.layers.append(layer)
        return len(self.layers) - 1

    def block(self, block: nn.Module, value: int) -> int:
        """Convolution, batch norm and ternary activation."""
        return self.add(_fold_block(block, value))

    def max_pool(self, value: int) -> int:
        """Half the size on each spatial axis of the network."""
        return self.add(Layer("max_pool", (value,), self.layers[value].channels, factor=self.factor))

    def upsample(self, value: int) -> int:
        """Twice the size on each spatial axis of the network, by repetition."""
        return self.add(Layer("upsample", (value,), self.layers[value].channels, factor=self.factor))

    def concatenate(self, values: Sequence[int]) -> int:
        """Join channels."""
        channels = sum(self.layers[value].channels for value in values)
        return self.add(Layer("concatenate", tuple(values), channels))


def _deep(weights: np.ndarray, first: bool = False) -> np.ndarray:
    """Weights (out, in, z, y, x) of a convolution in 2-D or 3-D; slices that the first layer reads lie along z."""
    if weights.ndim == 5:
        return weights
    return weights[:, None] if first else weights[:, :, None]


def _fold_block(block: Any, source: int) -> Layer:
    """Convolution, batch norm and ternary activation as one layer.

    With batch norm y = g (s a - m) / d + b of an integer sum a, the output is +1 where y > 0.5 and -1 where
    y < -0.5. A channel with g < 0 has its weights negated, so that larger sums always mean larger outputs.
    """
    convolution, norm, _ = block
    first = isinstance(convolution, (IntegerConv2d, IntegerConv3d))
    if any(margin != edge // 2 for margin, edge in zip(convolution.padding, convolution.kernel_size)):
        raise ValueError("A network whose convolutions do not keep the size cannot be folded.")
    # The form that was trained quantises in single precision; in double a weight beside a limit could fall elsewhere.
    levels, scale = convolution.quantise(convolution.weight.detach())
    weights = _deep(levels.numpy().astype(np.int64), first)
    scales = scale.flatten().double().numpy() / (INTENSITY_SCALE if first else 1.0)
    gain = (norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)).numpy()
    shift = (norm.bias.detach().double() - torch.from_numpy(gain) * norm.running_mean.double()).numpy()
    slope = gain * scales  # y = slope * sum + shift
    weights[slope < 0] *= -1
    weights[slope == 0] = 0
    reach = np.abs(weights).reshape(len(weights), -1).sum(1) * (MAX_INTENSITY if first else 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = np.floor((ACTIVATION_THRESHOLD - shift) / np.abs(slope)) + 1
        lower = np.ceil((-ACTIVATION_THRESHOLD - shift) / np.abs(slope))
    # A constant channel has sum 0: above both thresholds, below both, or between.
    flat = slope == 0
    upper[flat] = np.where(shift[flat] > ACTIVATION_THRESHOLD, 0, 1)
    lower[flat] = np.where(shift[flat] < -ACTIVATION_THRESHOLD, 1, np.minimum(upper[flat] - 1, 0))
    upper[flat] = np.maximum(upper[flat], lower[flat] + 1)
    lower = np.clip(lower, -reach - 1, reach + 1)
    # Where no sum falls between the thresholds, a zero state of one value is left: engines need lower < upper.
    upper = np.maximum(np.clip(upper, -reach, reach + 2), lower + 1)
    operation = "first" if first else "ternary"
    kind = np.int16 if first else np.int8
    return Layer(
        operation, (source,), len(weights), weights.astype(kind), lower.astype(np.int32), upper.astype(np.int32)
    )


def _fold_logits(last: Any, source: int) -> tuple[Layer, float]:
    """The last layer in integers of one unit, as fine as the bound on logits allows."""
    weight = _deep(last.weight.detach().double().numpy())
    bias = last.bias.detach().double().numpy()
    terms = weight[0].size + 1
    reach = (np.abs(weight).reshape(len(weight), -1).sum(1) + np.abs(bias)).max()
    unit = float(reach / (MAX_LOGIT - terms))  # leaves room for the rounding of each term
    integers = np.rint(weight / unit).astype(np.int16)
    offset = np.rint(bias / unit).astype(np.int32)
    return Layer("logits", (source,), len(weight), integers, offset=offset), unit


class FoldedNetwork(nn.Module):
    """A plan in torch, with float32 convolutions that are exact on its integers. For tests and evaluation."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def forward(self, grid: Tensor) -> Tensor:
        """Logits int16 (batch, classes, z, y, x) of a uint8 grid (batch, 1, z, y, x)."""
        values: list[Tensor] = []
        for layer in self.plan.layers:
            inputs = [values[source] for source in layer.inputs]
            values.append(grid.float() if layer.operation == "image" else self._run(layer, inputs))
        return values[-1].to(torch.int16)

    @staticmethod
    def _run(layer: Layer, inputs: list[Tensor]) -> Tensor:
        if layer.operation == "concatenate":
            return torch.cat(inputs, 1)
        if layer.operation == "max_pool":
            return functional.max_pool3d(inputs[0], layer.factor)
        if layer.operation == "upsample":
            scales = tuple(float(factor) for factor in layer.factor)
            return functional.interpolate(inputs[0], scale_factor=scales, mode="nearest")
        assert layer.weights is not None
        weights = torch.from_numpy(layer.weights.astype(np.float32))
        padding = tuple(edge // 2 for edge in layer.kernel)
        sums = functional.conv3d(inputs[0], weights, stride=layer.factor, padding=padding)
        shape = (-1, 1, 1, 1)
        if layer.operation == "logits":
            assert layer.offset is not None
            return sums + torch.from_numpy(layer.offset).view(shape)
        assert layer.lower is not None and layer.upper is not None
        above = (sums >= torch.from_numpy(layer.upper).view(shape)).float()
        return above - (sums < torch.from_numpy(layer.lower).view(shape)).float()
