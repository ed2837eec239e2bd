"""ELU-Net, the trunk of J-Net."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from LowResSegLib.networks.settings import NetworkSettings
from LowResSegLib.networks.trunk import Trunk, float_only


class ELUNet(Trunk):
    """U-Net of five levels whose decoder reads all deep levels of the encoder.

    Deng et al., "ELU-Net" (IEEE Access 10:35932, 2022), as in the code of J-Net (arXiv 2403.05340): widths n, 2n, 4n,
    8n, 16n; two 3x3 convolutions with bias, batch norm and ReLU a level; between levels transposed convolutions (edge
    and stride 2), then one 3x3 convolution, without norm or activation. In three decoder levels the map from below
    and that from the encoder's next level go through the same weights. In 2-D with one input and one logit 3,194,081
    parameters for n = 16, and 800,113 for n = 8.

    Not as published: input of any size (`Network` pads to a multiple of 16), any number of inputs and classes, and a
    3-D form with the same layers. Float only.
    """

    DEFAULT_WIDTH = 16

    def __init__(self, classes: int, settings: NetworkSettings) -> None:
        width = float_only("ELU-Net", settings, self.DEFAULT_WIDTH)
        super().__init__(classes, replace(settings, widths=(width,)))
        widths = [width << level for level in range(5)]
        incoming = [settings.inputs, *widths[:-1]]
        self.encoder = nn.ModuleList(self._double(i, o) for i, o in zip(incoming, widths))
        # Ways into each decoder level, from the deepest one up: (incoming channels, doublings), shared ones once.
        n, n2, n4, n8, n16 = widths
        self.up4 = nn.ModuleList([self._up(n16, n8, 1), self._up(n8, n8, 0)])
        self.up3 = nn.ModuleList([self._up(n8, n4, 1), self._up(n4, n4, 0)])
        self.up2 = nn.ModuleList([self._up(n4, n2, 1), self._up(n8, n2, 2), self._up(n2, n2, 0)])
        self.up1 = nn.ModuleList([self._up(n2, n, 1), self._up(n8, n, 3), self._up(n4, n, 2), self._up(n, n, 0)])
        self.decoder = nn.ModuleList(
            [self._double(2 * n8, n8), self._double(3 * n4, n4), self._double(4 * n2, n2), self._double(5 * n, n)]
        )
        self.last = self._convolution(n, classes, 1)
        self.channels, self.size_divisor = n, 16
        self.pool = nn.MaxPool2d(2) if settings.dimensions == 2 else nn.MaxPool3d(2)

    def _convolution(self, incoming: int, outgoing: int, kernel: int = 3) -> nn.Module:
        convolution = nn.Conv2d if self.settings.dimensions == 2 else nn.Conv3d
        return convolution(incoming, outgoing, kernel, padding=kernel // 2)

    def _double(self, incoming: int, outgoing: int) -> nn.Sequential:
        norm = nn.BatchNorm2d if self.settings.dimensions == 2 else nn.BatchNorm3d
        layers: list[nn.Module] = []
        for channels in (incoming, outgoing):
            layers += [self._convolution(channels, outgoing), norm(outgoing), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def _up(self, incoming: int, outgoing: int, doublings: int) -> nn.Sequential:
        transposed = nn.ConvTranspose2d if self.settings.dimensions == 2 else nn.ConvTranspose3d
        layers = [transposed(incoming, incoming, 2, stride=2) for _ in range(doublings)]
        return nn.Sequential(*layers, self._convolution(incoming, outgoing))

    def features(self, input: Tensor) -> Tensor:
        """See `Trunk.features`."""
        e: list[Tensor] = []
        for level, double in enumerate(self.encoder):
            e.append(double(self.pool(e[-1]) if level else input))
        below, same = self.up4
        d = self.decoder[0](torch.cat([below(e[4]), same(e[3])], 1))
        below, same = self.up3
        d = self.decoder[1](torch.cat([below(d), below(e[3]), same(e[2])], 1))
        below, quarter, same = self.up2
        d = self.decoder[2](torch.cat([below(d), quarter(e[3]), below(e[2]), same(e[1])], 1))
        below, eighth, quarter, same = self.up1
        found: Tensor = self.decoder[3](torch.cat([below(d), eighth(e[3]), quarter(e[2]), below(e[1]), same(e[0])], 1))
        return found
