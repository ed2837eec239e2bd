"""What all networks share: their way, which torch or the folding walks, and the wrapper that gives features too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.networks.settings import NetworkSettings
from LowResSegLib.networks.ternary import (
    BinaryConv2d,
    BinaryConv3d,
    IntegerConv2d,
    IntegerConv3d,
    SignActivation,
    TernaryActivation,
    TernaryConv2d,
    TernaryConv3d,
    TernaryTanh,
    upsample_nearest,
)


class Features(NamedTuple):
    """What a network gives to a head, at the resolution of the network's input.

    Attributes:
        logits: (batch, classes, [z,] y, x).
        features: (batch, channels, [z,] y, x), what the last layer reads.
    """

    logits: Tensor
    features: Tensor


def cut(values: Tensor, size: Sequence[int], start: Optional[Sequence[int]] = None) -> Tensor:
    """A part of (batch, channels, [z,] y, x): `size` from `start` on, or from the beginning."""
    for axis, edge in enumerate(size):
        values = values.narrow(axis + 2, start[axis] if start else 0, edge)
    return values


class TorchSteps:
    """The steps of a network's way on tensors. `fold.PlanSteps` has the same ones on layers of a plan."""

    def block(self, block: nn.Module, value: Tensor) -> Tensor:
        """Convolution, batch norm and activation."""
        output: Tensor = block(value)
        return output

    def max_pool(self, value: Tensor) -> Tensor:
        """Half the size on each spatial axis."""
        pool = functional.max_pool2d if value.ndim == 4 else functional.max_pool3d
        pooled: Tensor = pool(value, 2)
        return pooled

    def upsample(self, value: Tensor) -> Tensor:
        """Twice the size on each spatial axis, by repetition."""
        return upsample_nearest(value)

    def concatenate(self, values: Sequence[Tensor]) -> Tensor:
        """Join channels."""
        return torch.cat(list(values), 1)


class Trunk(nn.Module):
    """A network that gives logits at the resolution of its input.

    Subclasses make `last`, the layer of logits, and either `walk` (where the network can be folded) or `features`.

    Attributes:
        classes: number of output classes with the background.
        settings: what the network was built from, with its widths filled in.
        channels: of the features.
        size_divisor: each spatial size of the input is a multiple of this (`Network` pads to it).
    """

    size_divisor: int
    channels: int
    last: nn.Module

    def __init__(self, classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.classes, self.settings = classes, settings

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, or the one width that the network grows from."""
        return self.settings.widths

    def block(self, incoming: int, outgoing: int, kernel: int = 3, first: bool = False) -> nn.Sequential:
        """Convolution, batch norm and activation of the network's precision and dimensions.

        Args:
            incoming: channels of the input.
            outgoing: channels of the output.
            kernel: edge of the kernel; zero padding by half of it keeps the size.
            first: whether the block reads the image.
        """
        return block(self.settings, incoming, outgoing, kernel, first)

    def walk(self, steps: Any, value: Any) -> Any:
        """The network's way from the image to the features, by `TorchSteps` or `fold.PlanSteps`."""
        raise NotImplementedError(f"{type(self).__name__} has no way that a plan can hold.")

    def features(self, input: Tensor) -> Tensor:
        """Features (batch, channels, [z,] y, x) that the last layer reads."""
        found: Tensor = self.walk(TorchSteps(), input)
        return found

    def forward(self, input: Tensor) -> Tensor:
        """Logits (batch, classes, [z,] y, x) of (batch, inputs, [z,] y, x), the int8 grid over `INTENSITY_SCALE`."""
        logits: Tensor = self.last(self.features(input))
        return logits


class Network(nn.Module):
    """A trunk that gives logits and features, for input of any size (zeros are added at the end and cut away)."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    @property
    def settings(self) -> NetworkSettings:
        """Of the trunk."""
        return self.trunk.settings

    @property
    def classes(self) -> int:
        """Number of output classes with the background."""
        return self.trunk.classes

    @property
    def channels(self) -> int:
        """Channels of the features."""
        return self.trunk.channels

    @property
    def size_divisor(self) -> int:
        """A size that is a multiple of this is not padded."""
        return self.trunk.size_divisor

    def forward(self, input: Tensor) -> Features:
        """Logits and features of (batch, inputs, [z,] y, x), at the same resolution and size."""
        size = input.shape[2:]
        missing = [-edge % self.trunk.size_divisor for edge in size]
        if any(missing):
            input = functional.pad(input, [part for edge in reversed(missing) for part in (0, edge)])
        features = self.trunk.features(input)
        logits: Tensor = self.trunk.last(features)
        if any(missing):
            logits, features = cut(logits, size), cut(features, size)
        return Features(logits, features)


def block(
    settings: NetworkSettings,
    incoming: int,
    outgoing: int,
    kernel: int = 3,
    first: bool = False,
    padding: Optional[int] = None,
) -> nn.Sequential:
    """Convolution without bias, batch norm, activation: the one place where precisions differ.

    Args:
        settings: for precision and dimensions.
        incoming: channels of the input.
        outgoing: channels of the output.
        kernel: edge of the kernel.
        first: whether the block reads the image; its weights are then integers up to 63, but for `float`.
        padding: zeros around the input; by default half of the kernel's edge, which keeps the size.
    """
    norm = nn.BatchNorm2d if settings.dimensions == 2 else nn.BatchNorm3d
    convolution = _convolution(settings, incoming, outgoing, kernel, first, padding)
    return nn.Sequential(convolution, norm(outgoing), activation(settings))


def _convolution(
    settings: NetworkSettings, incoming: int, outgoing: int, kernel: int, first: bool, padding: Optional[int]
) -> nn.Module:
    flat = settings.dimensions == 2
    padding = kernel // 2 if padding is None else padding
    if settings.precision == "float":
        plain = nn.Conv2d if flat else nn.Conv3d
        return plain(incoming, outgoing, kernel, padding=padding, bias=False)
    if first:
        return (IntegerConv2d if flat else IntegerConv3d)(incoming, outgoing, kernel, padding)
    if settings.precision == "binary":
        return (BinaryConv2d if flat else BinaryConv3d)(incoming, outgoing, kernel, padding)
    ternary = (TernaryConv2d if flat else TernaryConv3d)(incoming, outgoing, kernel, padding)
    ternary.threshold = settings.weight_threshold
    return ternary


def activation(settings: NetworkSettings) -> nn.Module:
    """The activation of a precision."""
    if settings.precision == "ternary":
        return TernaryActivation()
    if settings.precision == "ternary_soft":
        return TernaryTanh(settings.beta)
    return SignActivation() if settings.precision == "binary" else nn.ReLU(inplace=True)


def float_only(title: str, settings: NetworkSettings, default: int) -> int:
    """The one width of a network that exists in float alone.

    Raises:
        InputError: another precision is asked for, or several widths.
    """
    if settings.precision != "float":
        raise InputError(f"{title} exists in float alone; set its precision to float, or take another network.")
    if len(settings.widths) > 1:
        raise InputError(f"{title} grows from one width, not {len(settings.widths)}.")
    return settings.widths[0] if settings.widths else default
