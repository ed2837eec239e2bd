"""The head of J-Net."""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor, nn

from LowResSegLib.errors import InputError
from LowResSegLib.networks.heads.base import Head, Levels
from LowResSegLib.networks.settings import HeadSettings
from LowResSegLib.networks.trunk import Features


class JHead(Head):
    """The levels -1 to -4 of J-Net: transposed convolutions (T, edge and stride 2) and convolutions (C, edge 3).

    Ostrowski and Shafique, "J-Net" (arXiv 2403.05340), as in their code. With o1 the logits:

        o2 = C(T(o1))      o3 = C'(T'(o2))      o4 = C''(T''(s4 ++ o3))      o5 = C''(T''(s8 ++ o4))

    where s4 and s8 are o1 after two and three of T and C, with one C for all of them, and C'', T'' are the same in o4
    and o5. All have biases and there is no non-linearity. In training all levels are returned, for the published sum
    of losses. In 2-D for one logit these are 112 parameters for a factor of 16 and 87 for 8 (what the published code
    builds besides, but does not use, is not built).

    As published, channels are mixed: the number of parameters grows with the square of the number of classes (13 K^2
    + 2 K a level; 924 for 3 logits and a factor of 16), so that this head may have more than 200.

    Options:
        shared: apply the head to each class's logit by itself; the number of parameters is then that of one logit.
        start: `published` (torch's random start) or `linear`: T repeats and C smooths, which is linear interpolation
            by 2 a level, but at the border, where C pads zeros.
    """

    OPTIONS = ("shared", "start")

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        factor = self.factors[0]
        if len(set(self.factors)) > 1 or factor not in (2, 4, 8, 16):
            raise InputError(f"The J head has one factor for all axes, of 2, 4, 8 or 16, not {settings.factor}.")
        start = self.option("start", "published")
        if start not in ("published", "linear"):
            raise InputError(f"The start of the J head is published or linear, not {start!r}.")
        self.shared = bool(self.option("shared", False))
        count = 1 if self.shared else classes
        self.levels = factor.bit_length() - 1
        self.first = self._level(count)
        self.second = self._level(count) if self.levels > 1 else None
        self.skip4 = self.skip8 = self.third = None
        if self.levels > 2:
            self.skip4 = nn.ModuleList([self._up(count), self._up(count), self._smooth(count)])
            self.third = nn.Sequential(self._up(2 * count), self._smooth(2 * count, count))
        if self.levels > 3:
            self.skip8 = nn.ModuleList([self._up(count), self._up(count), self._up(count), self._smooth(count)])
        if start == "linear":
            self._start_linear(count)

    def _up(self, count: int) -> nn.Module:
        transposed = nn.ConvTranspose2d if self.dimensions == 2 else nn.ConvTranspose3d
        return transposed(count, count, 2, stride=2)

    def _smooth(self, count: int, outgoing: Optional[int] = None) -> nn.Module:
        convolution = nn.Conv2d if self.dimensions == 2 else nn.Conv3d
        return convolution(count, outgoing or count, 3, padding=1)

    def _level(self, count: int) -> nn.Sequential:
        return nn.Sequential(self._up(count), self._smooth(count))

    def _start_linear(self, count: int) -> None:
        line = torch.tensor([0.25, 0.5, 0.25])
        kernel = line
        for _ in range(self.dimensions - 1):
            kernel = kernel[..., None] * line
        with torch.no_grad():
            for module in self.modules():
                layer: Any = module
                if isinstance(module, (nn.ConvTranspose2d, nn.ConvTranspose3d)):
                    one = torch.ones((2,) * self.dimensions)
                elif isinstance(module, (nn.Conv2d, nn.Conv3d)):
                    one = kernel
                else:
                    continue
                layer.bias.zero_()
                layer.weight.zero_()
                outgoing = layer.out_channels
                for channel in range(layer.in_channels):
                    # Where two maps are joined, the second one carries the finer level.
                    if outgoing == layer.in_channels or channel >= outgoing:
                        layer.weight[channel % outgoing, channel] = one

    @staticmethod
    def _chain(skip: nn.ModuleList, logits: Tensor) -> Tensor:
        for up in skip[:-1]:
            logits = skip[-1](up(logits))
        return logits

    def fine(self, features: Features, image: Optional[Tensor]) -> Levels:
        """See `Head.fine`."""
        first = features.logits
        if self.shared:
            first = first.reshape(-1, 1, *first.shape[2:])
        found = [first, self.first(first)]
        if self.second is not None:
            found.append(self.second(found[-1]))
        if self.third is not None and self.skip4 is not None:
            found.append(self.third(torch.cat([self._chain(self.skip4, first), found[-1]], 1)))
            if self.skip8 is not None:
                found.append(self.third(torch.cat([self._chain(self.skip8, first), found[-1]], 1)))
        if self.shared:
            found = [level.reshape(-1, self.classes, *level.shape[2:]) for level in found]
        return found if self.training else found[-1]
