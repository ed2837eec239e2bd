"""From a trained ternary network to the plan that is deployed, and that plan as a torch module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.model import Layer, Plan, check_plan
from LowResSegLib.model.plan import MAX_INTENSITY, MAX_LOGIT
from LowResSegLib.networks.ternary import (
    ACTIVATION_THRESHOLD,
    INTENSITY_SCALE,
    IntegerConv3d,
    integer_weights,
    ternary_weights,
)
from LowResSegLib.networks.unet import UNet


def fold(network: UNet) -> Plan:
    """The plan of a ternary network: batch norm and ternarisation become two integer thresholds a channel."""
    if not network.ternary:
        raise ValueError("Only a ternary network can be folded.")
    layers = [Layer("image", (), 1)]

    def add(layer: Layer) -> int:
        layers.append(layer)
        return len(layers) - 1

    skips: list[int] = []
    current = 0
    encoder: Any = network.encoder
    for level, blocks in enumerate(encoder):
        if level:
            current = add(Layer("max_pool", (current,), layers[current].channels, factor=(2, 2, 2)))
        for block in blocks:
            current = add(_fold_block(block, current))
        skips.append(current)
    for level in reversed(range(len(network.decoder))):
        current = add(Layer("upsample", (current,), layers[current].channels, factor=(2, 2, 2)))
        joined = (skips[level], current)
        current = add(Layer("concatenate", joined, sum(layers[i].channels for i in joined)))
        current = add(_fold_block(network.decoder[level], current))
    logits, unit = _fold_logits(network.last, current)
    add(logits)
    check_plan(layers)
    return Plan(tuple(layers), unit)


def _fold_block(block: Any, source: int) -> Layer:
    """Convolution, batch norm and ternary activation as one layer.

    With batch norm y = g (s a - m) / d + b of an integer sum a, the output is +1 where y > 0.5 and -1 where
    y < -0.5. A channel with g < 0 has its weights negated, so that larger sums always mean larger outputs.
    """
    convolution, norm, _ = block
    first = isinstance(convolution, IntegerConv3d)
    levels, scale = (integer_weights if first else ternary_weights)(convolution.weight.detach().double())
    weights = levels.numpy().astype(np.int64)
    scales = scale.flatten().numpy() / (INTENSITY_SCALE if first else 1.0)
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
    weight = last.weight.detach().double().numpy()
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
