"""Micro networks at high resolution that correct each class's upsampled logit."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn

from LowResSegLib.networks.heads.base import Head, leads
from LowResSegLib.networks.heads.likelihood import LikelihoodHead
from LowResSegLib.networks.settings import HeadSettings
from LowResSegLib.networks.trunk import Features


class Corrector(nn.Module):
    """A few convolutions, the same for every class, that end in a layer of zeros.

    In 2-D one of edge 3 to 4 channels, ReLU, one of edge 1 (117 parameters for 3 inputs); in 3-D a depthwise one of
    edge 3, one of edge 1 to 6 channels, ReLU, one of edge 1 (115).
    """

    def __init__(self, inputs: int, dimensions: int) -> None:
        super().__init__()
        layers: list[nn.Module]
        if dimensions == 2:
            layers = [nn.Conv2d(inputs, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1)]
        else:
            depthwise = nn.Conv3d(inputs, inputs, 3, padding=1, groups=inputs)
            layers = [depthwise, nn.Conv3d(inputs, 6, 1), nn.ReLU(), nn.Conv3d(6, 1, 1)]
        self.layers = nn.Sequential(*layers)
        for parameter in layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Corrections (batch, classes, ...) from maps of that shape, or (batch, 1, ...) where they are of no class."""
        classes = max(part.shape[1] for part in maps)
        stacked = torch.stack([part.expand(-1, classes, *part.shape[2:]) for part in maps], 2)
        found: Tensor = self.layers(stacked.flatten(0, 1))
        return found.reshape(stacked.shape[0], classes, *stacked.shape[3:])


def standardised(image: Tensor) -> Tensor:
    """Each image of a batch with mean 0 and standard deviation 1."""
    axes = tuple(range(1, image.ndim))
    return (image - image.mean(axes, keepdim=True)) / (image.std(axes, keepdim=True) + 1e-3)


class ResidualHead(Head):
    """A micro network on a class's leads, the scan, and the scan less its low-resolution self.

    Its correction is added to the class's linearly upsampled logit; it starts at linear. What it learns of intensity
    belongs to the contrast that it was trained on.

    Options:
        image: false for the control that sees the leads alone.
    """

    OPTIONS = ("image",)

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        self.needs_image = bool(self.option("image", True))
        self.correct = Corrector(3 if self.needs_image else 1, dimensions)

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        logits = self.linear(features.logits)
        maps = [leads(logits)]
        if image is not None:
            image = standardised(image)
            maps += [image, image - self.linear(self.coarse(image))]
        return logits + self.correct(maps)


class LikelihoodResidualHead(LikelihoodHead):
    """The likelihood head, and a micro network on leads and both log-likelihood ratios that corrects its result.

    The micro network sees no intensities, so that this head knows no contrast either. It starts at linear.
    """

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        self.correct = Corrector(3, dimensions)

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        assert image is not None
        logits = self.linear(features.logits)
        here, known = self.evidence(features.logits, image)
        fused = logits + self.weight * (here - self.known * known)
        return fused + self.correct([leads(logits), here, here - known])
