"""The 3-D U-Net of the bundled models, in a float and in a ternary form of the same shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.networks.ternary import IntegerConv3d, TernaryActivation, TernaryConv3d, upsample_nearest


class UNet(nn.Module):
    """U-Net: two 3x3x3 convolutions a level going down, one going up; max-pooling, nearest upsampling, concatenation.

    The float form (convolution, batch norm, ReLU) is the teacher of the ternary form (integer first layer, ternary
    convolutions, batch norm, ternary activation); both have the same parameters by name, so the
    ternary form starts from the float one's weights.

    Args:
        classes: number of output classes with the background.
        widths: channels of each level, from the input's resolution down.
        ternary: which form.
    """

    def __init__(self, classes: int, widths: Sequence[int] = (16, 32, 64, 80), ternary: bool = True) -> None:
        super().__init__()
        self.classes, self.widths, self.ternary = classes, tuple(widths), ternary
        incoming = [1, *widths[:-1]]
        self.encoder = nn.ModuleList(
            nn.Sequential(self._block(i, o, first=level == 0), self._block(o, o))
            for level, (i, o) in enumerate(zip(incoming, widths))
        )
        self.decoder = nn.ModuleList(
            self._block(widths[level] + widths[level + 1], widths[level]) for level in range(len(widths) - 1)
        )
        self.last = nn.Conv3d(widths[0], classes, kernel_size=1)

    @property
    def size_divisor(self) -> int:
        """Each spatial size of the input is a multiple of this."""
        return 2 ** (len(self.widths) - 1)

    def _block(self, incoming: int, outgoing: int, first: bool = False) -> nn.Sequential:
        convolution: nn.Module
        if not self.ternary:
            convolution = nn.Conv3d(incoming, outgoing, 3, padding=1, bias=False)
        elif first:
            convolution = IntegerConv3d(incoming, outgoing)
        else:
            convolution = TernaryConv3d(incoming, outgoing)
        activation = TernaryActivation() if self.ternary else nn.ReLU(inplace=True)
        return nn.Sequential(convolution, nn.BatchNorm3d(outgoing), activation)

    def forward(self, input: Tensor) -> Tensor:
        """Logits (batch, classes, z, y, x) of intensities (batch, 1, z, y, x), the int8 grid over `INTENSITY_SCALE`."""
        skips: list[Tensor] = []
        features = input
        for level, block in enumerate(self.encoder):
            features = block(features if level == 0 else functional.max_pool3d(features, 2))
            skips.append(features)
        for level in reversed(range(len(self.decoder))):
            features = self.decoder[level](torch.cat([skips[level], upsample_nearest(features)], 1))
        return self.last(features)
