"""The U-Net of the bundled models, in two and three dimensions and every precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from torch import nn

from LowResSegLib.networks.settings import NetworkSettings
from LowResSegLib.networks.trunk import Trunk


class UNet(Trunk):
    """U-Net: two convolutions of edge 3 a level going down, one going up; max-pooling, repetition, concatenation.

    After Ronneberger et al. (arXiv 1505.04597) and Cicek et al. (arXiv 1606.06650), with one convolution a level going
    up, same padding, and repetition in place of transposed convolutions, so that ternary values stay ternary.

    The float form (convolution, batch norm, ReLU) is the teacher of the ternary form (integer first layer, ternary
    convolutions, batch norm, ternary activation); all precisions have the same parameters by name, so that
    one starts from the other's weights.

    Args:
        classes: number of output classes with the background.
        widths: channels of each level, from the input's resolution down.
        ternary: which form, where `settings` are not given.
        settings: dimensions, inputs, precision; `widths` and `ternary` are then not looked at.
    """

    DEFAULT_WIDTHS = (16, 32, 64, 80)

    def __init__(
        self,
        classes: int,
        widths: Sequence[int] = DEFAULT_WIDTHS,
        ternary: bool = True,
        settings: Optional[NetworkSettings] = None,
    ) -> None:
        if settings is None:
            settings = NetworkSettings(widths=tuple(widths), precision="ternary" if ternary else "float")
        widths = settings.widths or self.DEFAULT_WIDTHS
        super().__init__(classes, replace(settings, widths=tuple(widths)))
        incoming = [settings.inputs, *widths[:-1]]
        self.encoder = nn.ModuleList(
            nn.Sequential(self.block(i, o, first=level == 0), self.block(o, o))
            for level, (i, o) in enumerate(zip(incoming, widths))
        )
        self.decoder = nn.ModuleList(
            self.block(widths[level] + widths[level + 1], widths[level]) for level in range(len(widths) - 1)
        )
        convolution = nn.Conv2d if settings.dimensions == 2 else nn.Conv3d
        self.last = convolution(widths[0], classes, kernel_size=1)
        self.channels = widths[0]
        self.size_divisor = 2 ** (len(widths) - 1)

    @property
    def ternary(self) -> bool:
        """Whether weights and activations are ternary, and hard in training."""
        return self.settings.precision == "ternary"

    def walk(self, steps: Any, value: Any) -> Any:
        """The way of `Trunk.walk`."""
        skips: list[Any] = []
        for level, blocks in enumerate(self.encoder):
            value = steps.max_pool(value) if level else value
            for block in blocks:  # type: ignore[attr-defined]
                value = steps.block(block, value)
            skips.append(value)
        for level in reversed(range(len(self.decoder))):
            value = steps.block(self.decoder[level], steps.concatenate([skips[level], steps.upsample(value)]))
        return value
