"""Joint bilateral upsampling as a head: linear interpolation that trusts low-resolution voxels of like intensity."""

from __future__ import annotations

import itertools
from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.networks.heads.base import Head
from LowResSegLib.networks.settings import HeadSettings
from LowResSegLib.networks.trunk import Features, cut


class BilateralHead(Head):
    """Linear interpolation whose weights fall with the difference of intensities, weights renormalised.

    After Kopf et al., "Joint Bilateral Upsampling" (SIGGRAPH 2007). The weight of a low-resolution neighbour j of the
    voxel p is linear(p, j) * exp(-sharpness * (I_p - I_j)^2 / (var + noise)), with intensities of the scan and of its
    average over j, and the scan's variance around j, so that contrast does not matter. It starts at linear, with a
    sharpness of 0.

    Learnt numbers, three: sharpness; noise, as a share of the whole scan's variance; gain of the logits.
    """

    needs_image = True

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        self.sharpness = nn.Parameter(torch.zeros(()))
        self.log_noise = nn.Parameter(torch.full((), -3.0))
        self.gain = nn.Parameter(torch.ones(()))

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        assert image is not None
        logits, coarse = features.logits, self.coarse(image)
        axes = tuple(range(1, image.ndim))
        pool = functional.avg_pool2d if self.dimensions == 2 else functional.avg_pool3d
        mean = pool(coarse, 3, stride=1, padding=1, count_include_pad=False)
        around = pool(coarse**2, 3, stride=1, padding=1, count_include_pad=False) - mean**2
        spread = around.clamp(min=0) + self.log_noise.exp() * image.var(axes, keepdim=True) + 1e-6
        scale = self.sharpness / spread
        known = torch.cat([logits, coarse, scale], 1)
        padded = functional.pad(known, (1, 1) * self.dimensions, mode="replicate")
        total = weighted = torch.zeros((), device=logits.device)
        for steps in itertools.product((-1, 0, 1), repeat=self.dimensions):
            neighbour = cut(padded, logits.shape[2:], [1 + step for step in steps])
            for axis, factor in enumerate(self.factors):
                neighbour = neighbour.repeat_interleave(factor, axis + 2)
            difference = (image - neighbour[:, -2:-1]) ** 2
            # Beyond a factor of e^8 a neighbour does not count; the bound keeps the sum of weights above 0.
            weight = torch.exp(-(neighbour[:, -1:] * difference).clamp(-8, 8)) * self._linear_weight(steps, logits)
            total = total + weight
            weighted = weighted + weight * neighbour[:, :-2]
        return self.gain * weighted / total

    def _linear_weight(self, steps: tuple[int, ...], logits: Tensor) -> Tensor:
        """Weights (1, 1, [z,] y, x) with which linear interpolation takes the neighbour that lies `steps` away."""
        weight = torch.ones((1, 1) + (1,) * self.dimensions, device=logits.device, dtype=logits.dtype)
        for axis, (step, factor, size) in enumerate(zip(steps, self.factors, logits.shape[2:])):
            place = (torch.arange(factor, device=logits.device, dtype=logits.dtype) + 0.5) / factor - 0.5
            line = (1 - (place - step).abs()).clamp(min=0).repeat(size)
            weight = weight * line.reshape([-1 if other == axis + 2 else 1 for other in range(logits.ndim)])
        return weight
