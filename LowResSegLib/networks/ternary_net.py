"""TernaryNet, as published and in the form that can be deployed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.networks.settings import NetworkSettings
from LowResSegLib.networks.trunk import Trunk, block

MARGIN = 56  # by so much are the valid convolutions' logits smaller than their input


def _widths(settings: NetworkSettings) -> int:
    widths = settings.widths or (32,)
    if len(widths) != 1:
        raise InputError(f"TernaryNet grows from one width, not {len(widths)}.")
    return widths[0]


def _plan(width: int) -> tuple[list[list[tuple[int, int]]], list[list[tuple[int, int]]]]:
    """Channels (in, out) of the two convolutions of each encoder level and each decoder level, from deep to fine."""
    b = width
    encoder = [[(0, b), (b, 2 * b)], [(2 * b, 2 * b), (2 * b, 4 * b)], [(4 * b, 4 * b), (4 * b, 8 * b)]]
    encoder.append([(8 * b, 8 * b), (8 * b, 8 * b)])  # of edge 1
    decoder = [[(16 * b, 8 * b), (8 * b, 4 * b)], [(8 * b, 4 * b), (4 * b, 2 * b)], [(4 * b, 2 * b), (2 * b, 2 * b)]]
    return encoder, decoder


class TernaryNet(Trunk):
    """The published network: 2.5-D slices, valid convolutions, average pooling, bilinear upsampling.

    Heinrich, Blendowski and Oktay, "TernaryNet" (arXiv 1801.09449, IJCARS 2018). With the precision `ternary_soft`, 15
    inputs, a width of 32 and 2 classes it has the published 2,664,482 parameters and 9.75 billion multiply-accumulates
    a slice of 176 x 110. The first layer's weights and the last layer are float; the last but one
    has ReLU. Pooled and interpolated values are not ternary, so that five eighths of the
    multiply-accumulates read more than three values: `TernaryNetDeployable` is the network that is meant to run.

    The published code's errors are not repeated: the ternary tanh's beta does change (`set_beta`), evaluation is hard,
    quantised weights are known to autograd, an empty output channel gives 0 and not 0/0. The slice that is labelled
    is to be the middle one of the inputs (the published code took one outside them).

    Slices of any size: zeros around them make up for what valid convolutions take away, as published.
    """

    def __init__(self, classes: int, settings: NetworkSettings) -> None:
        if settings.dimensions != 2:
            raise InputError("TernaryNet as published is a network of slices; ternary_net_deployable has a 3-D form.")
        width = _widths(settings)
        super().__init__(classes, replace(settings, widths=(width,)))
        encoder, decoder = _plan(width)
        encoder[0][0] = (settings.inputs, width)
        self.encoder = nn.ModuleList(
            self._pair(pair, kernel=1 if level == 3 else 3, first=level == 0) for level, pair in enumerate(encoder)
        )
        self.decoder = nn.ModuleList(self._pair(pair, relu=level == 2) for level, pair in enumerate(decoder))
        self.last = nn.Conv2d(2 * width, classes, 1)
        self.channels, self.size_divisor = 2 * width, 1
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight, gain=math.sqrt(2))

    def _pair(
        self, pair: Sequence[tuple[int, int]], kernel: int = 3, first: bool = False, relu: bool = False
    ) -> nn.Sequential:
        one, two = (block(self.settings, i, o, kernel, padding=0) for i, o in pair)
        if first:
            one[0] = nn.Conv2d(*pair[0], kernel, bias=False)
        if relu:
            two[2] = nn.ReLU(inplace=True)
        return nn.Sequential(one, two)

    def features(self, input: Tensor) -> Tensor:
        """See `Trunk.features`."""
        height, width = input.shape[2:]
        # Sizes of 8 n + 4 are even wherever they are halved.
        extra = [(4 - edge) % 8 for edge in (height, width)]
        before = [MARGIN // 2 + part // 2 for part in extra]
        after = [MARGIN // 2 + part - part // 2 for part in extra]
        value = functional.pad(input, (before[1], after[1], before[0], after[0]))
        skips: list[Tensor] = []
        for level, pair in enumerate(self.encoder):
            value = pair(functional.avg_pool2d(value, 2) if level else value)
            skips.append(value)
        for level, pair in enumerate(self.decoder):
            value = functional.interpolate(value, scale_factor=2, mode="bilinear", align_corners=False)
            value = pair(torch.cat([value, _middle(skips[2 - level], value.shape[2:])], 1))
        top, left = (part // 2 for part in extra)
        return value[..., top : top + height, left : left + width]


def _middle(value: Tensor, size: Sequence[int]) -> Tensor:
    top, left = ((have - want) // 2 for have, want in zip(value.shape[2:], size))
    return value[..., top : top + size[0], left : left + size[1]]


class TernaryNetDeployable(Trunk):
    """TernaryNet's layers, ternary end to end: what `fold` makes a plan of.

    Against `TernaryNet`: padding keeps sizes, max-pooling and repetition take the place of average pooling and bilinear
    upsampling, so that values stay ternary; the last activation is ternary, and the last layer makes logits of
    it. The first layer's weights are integers up to 63. Slices of 1, 3 or 5 inputs can be folded, as can volumes.
    """

    def __init__(self, classes: int, settings: NetworkSettings) -> None:
        width = _widths(settings)
        super().__init__(classes, replace(settings, widths=(width,)))
        encoder, decoder = _plan(width)
        encoder[0][0] = (settings.inputs, width)
        self.encoder = nn.ModuleList(
            nn.ModuleList(
                self.block(*channels, kernel=1 if level == 3 else 3, first=level == 0 and position == 0)
                for position, channels in enumerate(pair)
            )
            for level, pair in enumerate(encoder)
        )
        self.decoder = nn.ModuleList(nn.ModuleList(self.block(*channels) for channels in pair) for pair in decoder)
        convolution = nn.Conv2d if settings.dimensions == 2 else nn.Conv3d
        self.last = convolution(2 * width, classes, 1)
        self.channels, self.size_divisor = 2 * width, 8

    def walk(self, steps: Any, value: Any) -> Any:
        """See `Trunk.walk`."""
        skips: list[Any] = []
        pairs: Any = self.encoder
        for level, pair in enumerate(pairs):
            value = steps.max_pool(value) if level else value
            for layer in pair:
                value = steps.block(layer, value)
            skips.append(value)
        pairs = self.decoder
        for level, pair in enumerate(pairs):
            value = steps.concatenate([steps.upsample(value), skips[2 - level]])
            for layer in pair:
                value = steps.block(layer, value)
        return value
