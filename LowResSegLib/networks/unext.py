"""UNeXt: a small convolutional encoder and decoder around perceptrons that mix shifted channels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.networks.settings import NetworkSettings
from LowResSegLib.networks.trunk import Trunk, float_only

REACH = 2  # channels are shifted by -2 to 2


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map (batch, channels, y, x)."""

    def forward(self, input: Tensor) -> Tensor:
        """Map of the same shape."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ShiftedPerceptron(nn.Module):
    """Residual block: channels shifted along y, linear, depthwise 3x3, GELU, shifted along x, linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.enter = nn.Conv2d(width, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.leave = nn.Conv2d(width, width, 1)
        for linear in (self.enter, self.leave):
            assert linear.bias is not None
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map of the same shape."""
        value = self.depthwise(self.enter(_shifted(self.norm(input), 2)))
        mixed: Tensor = self.leave(_shifted(functional.gelu(value), 3))
        return input + mixed


def _shifted(value: Tensor, axis: int) -> Tensor:
    """Five groups of channels, each moved along an axis by its own distance; zeros come in from outside."""
    parts = value.chunk(2 * REACH + 1, 1)
    moved = []
    for part, distance in zip(parts, range(-REACH, REACH + 1)):
        size = part.shape[axis]
        before, after = (max(distance, 0), max(-distance, 0))
        margins = [0, 0, before, after] if axis == 2 else [before, after, 0, 0]
        moved.append(functional.pad(part, margins).narrow(axis, after, size))
    return torch.cat(moved, 1)


class UNeXt(Trunk):
    """Three convolutional levels, two of shifted perceptrons, and a decoder that adds the encoder's maps.

    Valanarasu and Patel, "UNeXt: MLP-based Rapid Medical Image Segmentation Network" (MICCAI 2022, arXiv 2203.04967);
    with the default widths and three inputs it has the 1.47 million parameters that the paper states. Maps, not
    tokens, go through the perceptrons, which is the same arithmetic.

    Not as published: any number of inputs, any size (`Network` pads to a multiple of 32), and the last features, at
    half resolution in the encoder's first level, are doubled as in the paper's code, before the last convolution. 2-D
    and float only.
    """

    DEFAULT_WIDTHS = (16, 32, 128, 160, 256)

    def __init__(self, classes: int, settings: NetworkSettings) -> None:
        if settings.dimensions != 2:
            raise InputError("UNeXt is a network of slices; set dimensions to 2.")
        widths = settings.widths or self.DEFAULT_WIDTHS
        if len(widths) != 5:
            raise InputError(f"UNeXt has five widths, not {len(widths)}.")
        float_only("UNeXt", replace(settings, widths=()), 1)
        super().__init__(classes, replace(settings, widths=tuple(widths)))
        incoming = [settings.inputs, *widths[:-1]]
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.MaxPool2d(2), nn.ReLU(inplace=True))
            for i, o in zip(incoming[:3], widths[:3])
        )
        self.tokens = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, stride=2, padding=1), ChannelNorm(o), ShiftedPerceptron(o), ChannelNorm(o))
            for i, o in zip(incoming[3:], widths[3:])
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o))
            for i, o in zip(widths[:0:-1], widths[-2::-1])
        )
        self.mixers = nn.ModuleList(
            nn.Sequential(ShiftedPerceptron(width), ChannelNorm(width)) for width in (widths[3], widths[2])
        )
        self.finish = nn.Conv2d(widths[0], widths[0], 3, padding=1)
        self.last = nn.Conv2d(widths[0], classes, 1)
        self.channels, self.size_divisor = widths[0], 32

    def features(self, input: Tensor) -> Tensor:
        """See `Trunk.features`."""
        value, skips = input, []
        for level in (*self.encoder, *self.tokens):
            value = level(value)
            skips.append(value)
        for position, layer in enumerate(self.decoder):
            value = functional.relu(_doubled(layer(value))) + skips[-2 - position]
            if position < len(self.mixers):
                value = self.mixers[position](value)
        return functional.relu(_doubled(self.finish(value)))


def _doubled(value: Tensor) -> Tensor:
    return functional.interpolate(value, scale_factor=2, mode="bilinear", align_corners=False)
