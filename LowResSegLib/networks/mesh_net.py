"""MeshNet: dilated convolutions at one resolution."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from LowResSegLib.networks.settings import NetworkSettings
from LowResSegLib.networks.trunk import Trunk, float_only

DILATIONS = (1, 2, 4, 8, 16, 16, 8, 4, 2)


class MeshNet(Trunk):
    """Nine convolutions of edge 3 and one width, dilated up to 16 and back, then one of edge 1; no pooling.

    Fedorov et al., "End-to-end learning of brain tissue segmentation from imperfect labeling" (IJCNN 2017, arXiv
    1612.00940), in the later form with ten layers of "State-of-the-Art Stroke Lesion Segmentation at 1/1000th of
    Parameters" (arXiv 2503.05531), whose parameters this has: in 3-D with one input and two classes 5,682, 56,194 and
    147,474 for widths of 5, 16 and 26. Each convolution has a bias, batch norm and ReLU.

    Not as published: no dropout, and a 2-D form with the same layers. Float only: a plan holds no dilations.
    """

    DEFAULT_WIDTH = 16

    def __init__(self, classes: int, settings: NetworkSettings) -> None:
        width = float_only("MeshNet", settings, self.DEFAULT_WIDTH)
        super().__init__(classes, replace(settings, widths=(width,)))
        flat = settings.dimensions == 2
        convolution, norm = (nn.Conv2d, nn.BatchNorm2d) if flat else (nn.Conv3d, nn.BatchNorm3d)
        layers: list[nn.Module] = []
        for position, dilation in enumerate(DILATIONS):
            incoming = width if position else settings.inputs
            layers.append(convolution(incoming, width, 3, padding=dilation, dilation=dilation))
            layers += [norm(width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.last = convolution(width, classes, 1)
        self.channels, self.size_divisor = width, 1
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                assert module.bias is not None
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def features(self, input: Tensor) -> Tensor:
        """See `Trunk.features`."""
        found: Tensor = self.layers(input)
        return found
