"""A guided filter as a head: logits follow the scan's edges where they are a linear function of intensity nearby."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.networks.heads.base import Head
from LowResSegLib.networks.settings import HeadSettings
from LowResSegLib.networks.trunk import Features

HIDDEN = 8


class GuidedHead(Head):
    """Local regression of logits on intensity at low resolution, used at high resolution.

    After He et al., "Guided Image Filtering" (TPAMI 2013), and Wu et al., "Fast End-to-End Trainable Guided Filter"
    (arXiv 1803.05619). In windows of 3 low-resolution voxels along each axis a = cov(g, logit) / (var(g) + eps), of a
    guidance g; the head adds

        strength * a_upsampled * (g here - g upsampled from low resolution)

    to linearly upsampled logits. Unlike the filter itself it does not smooth the logits, and it starts at linear,
    with a strength of 0.

    Guidance is the scan plus a small network of its intensity (1 -> 8 -> 1, as Wu et al. have it). Learnt numbers:
    strength, eps and 24 of the guidance.
    """

    needs_image = True

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        self.strength = nn.Parameter(torch.zeros(()))
        self.log_eps = nn.Parameter(torch.full((), -4.0))
        self.enter = nn.Parameter(torch.randn(HIDDEN))
        self.offset = nn.Parameter(0.5 * torch.randn(HIDDEN))
        self.leave = nn.Parameter(torch.zeros(HIDDEN))

    def guidance(self, image: Tensor) -> Tensor:
        """The map (batch, 1, ...) that logits are regressed on."""
        extra = torch.zeros_like(image)
        for enter, offset, leave in zip(self.enter, self.offset, self.leave):
            extra = extra + leave * functional.relu(enter * image + offset)
        return image + extra

    def mean(self, values: Tensor) -> Tensor:
        """Over windows of 3 low-resolution voxels along each axis, without what lies outside."""
        pool = functional.avg_pool2d if self.dimensions == 2 else functional.avg_pool3d
        averaged: Tensor = pool(values, 3, stride=1, padding=1, count_include_pad=False)
        return averaged

    def detail(self, logits: Tensor, image: Tensor) -> Tensor:
        """What the regression adds to linearly upsampled logits, (batch, classes, ...), before its strength."""
        guidance = self.guidance(image)
        coarse = self.coarse(guidance)
        mean = self.mean(coarse)
        variance = self.mean(coarse**2) - mean**2
        covariance = self.mean(coarse * logits) - mean * self.mean(logits)
        slope = covariance / (variance.clamp(min=0) + self.log_eps.exp())
        return self.linear(slope) * (guidance - self.linear(coarse))

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        assert image is not None
        return self.linear(features.logits) + self.strength * self.detail(features.logits, image)
