"""A head that learns how each class looks in the scan at hand, from the scan and its low-resolution segmentation."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.networks.heads.base import Head
from LowResSegLib.networks.settings import HeadSettings
from LowResSegLib.networks.ternary import INTENSITY_SCALE
from LowResSegLib.networks.trunk import Features

INTENSITIES = 128  # levels of the int8 grid
LIMIT = 5.0  # of a log-likelihood ratio


class LikelihoodHead(Head):
    """Adds to linearly upsampled logits what a voxel's own intensity says about the classes.

    From the upsampled probabilities and the scan comes a histogram of intensities for each class, and from these a
    table: the log-likelihood ratio of each class against the whole scan, by intensity. The head adds

        weight * (table[class, intensity here] - known * table[class, intensity upsampled from low resolution])

    to the logits. The second term takes back what the network could see already. But for the air's no intensity is
    learnt in training, so that the head knows no contrast (the thought is that of segmentation with intensity models of
    each scan, as in Puonti et al., SAMSEG, NeuroImage 2016). It starts at linear, with a weight of 0.

    Learnt numbers, six: weight; known; temperature of the probabilities; floor: voxels of the whole scan's histogram
    that each class's one is mixed with, so that a class of few voxels says little; width of the histogram's
    smoothing, in levels; air: voxels of background, of the lowest level, that are thought around the scan, as a share
    of the scan's own. What is dark then speaks for the background, and all else speaks less for it.

    In use a table of classes x 128 integers a scan is all that high-resolution voxels need besides linear
    interpolation.

    Options:
        model: `histogram`, or `gaussian`: a mean and a variance a class in place of a histogram, and no air.
        near: count only voxels that have two classes within so many low-resolution voxels, more the more probable
            the second one is; 0 counts the whole scan. What lies far from every boundary then says nothing of it.
    """

    needs_image = True
    knows_padding = True
    OPTIONS: tuple[str, ...] = ("model", "near")

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        self.model = self.option("model", "histogram")
        if self.model not in ("histogram", "gaussian"):
            raise InputError(f"The model of the likelihood head is histogram or gaussian, not {self.model!r}.")
        self.near = self.option("near", 0)
        if not isinstance(self.near, int) or not 0 <= self.near <= 8:
            raise InputError(f"The option near is a whole number of low-resolution voxels, 0 to 8, not {self.near!r}.")
        self.weight = nn.Parameter(torch.zeros(()))
        self.known = nn.Parameter(torch.full((), 0.5))
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.log_floor = nn.Parameter(torch.full((), 3.0))
        self.log_width = nn.Parameter(torch.full((), 0.7))
        if self.model == "histogram":
            self.log_air = nn.Parameter(torch.zeros(()))

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        assert image is not None
        logits = self.linear(features.logits)
        here, known = self.evidence(features.logits, image)
        return logits + self.weight * (here - self.known * known)

    def evidence(self, logits: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Log-likelihood ratios (batch, classes, ...) of intensities here, and of those known at low resolution.

        Args:
            logits: at low resolution.
            image: at high resolution; `base.PADDING` where the scan has no voxel.
        """
        inside = (image >= 0).to(image.dtype)
        levels = intensity_levels(image)
        table = self.table(logits, levels, inside)
        share = self.coarse(inside)
        known, some = self.coarse(image * inside) / share.clamp(min=1e-6), (share > 0).to(image.dtype)
        blurred = intensity_levels(self.linear(known) / self.linear(some).clamp(min=1e-6))  # as if the grid ended there
        return look_up(table, levels), look_up(table, blurred)

    def table(self, logits: Tensor, levels: Tensor, inside: Optional[Tensor] = None) -> Tensor:
        """Log-likelihood ratio by class and intensity, (batch, classes, 128), within +-5.

        Args:
            logits: at low resolution.
            levels: (batch, 1, ...) int64, the high-resolution image as levels of intensity.
            inside: (batch, 1, ...), 1 where a voxel counts and 0 where it does not; None counts all. A deployed scan
                has no padding, so what was padded for training must not count either.
        """
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        with torch.autocast(logits.device.type, enabled=False):  # counts of voxels are beyond half precision
            probability = self._probability(self.linear(logits))
            if self.near:
                probability = probability * self.linear(self._boundary(self._probability(logits)))
            if inside is not None:
                probability = probability * inside
            flat = probability.flatten(2)
            counts = flat.new_zeros((*flat.shape[:2], INTENSITIES))
            counts = counts.scatter_add(2, levels.flatten(2).expand(-1, flat.shape[1], -1), flat)
            ratio = self._histogram_ratio(counts) if self.model == "histogram" else self._gaussian_ratio(counts)
            if self.classes == 1:
                ratio = ratio[:, 1:] - ratio[:, :1]
            return ratio.clamp(-LIMIT, LIMIT)

    def _probability(self, logits: Tensor) -> Tensor:
        scaled = logits / self.log_temperature.exp()
        if self.classes == 1:
            return torch.cat([torch.sigmoid(-scaled), torch.sigmoid(scaled)], 1)
        return functional.softmax(scaled, 1)

    def _boundary(self, probability: Tensor) -> Tensor:
        """Twice the probability of the second most probable class within reach, at most 1; (batch, 1, ...)."""
        pool = functional.max_pool2d if self.dimensions == 2 else functional.max_pool3d
        within = pool(probability, 2 * self.near + 1, stride=1, padding=self.near)
        return (2 * within.topk(2, 1).values[:, 1:]).clamp(max=1)

    def _histogram_ratio(self, counts: Tensor) -> Tensor:
        counts[:, 0, 0] += self.log_air.exp() * counts.sum((1, 2))
        places = torch.arange(INTENSITIES, device=counts.device, dtype=counts.dtype)
        distance = (places[:, None] - places[None]) / self.log_width.exp()
        kernel = torch.exp(-0.5 * distance**2)
        smooth = counts @ (kernel / kernel.sum(1, keepdim=True))
        whole = smooth.sum(1, keepdim=True)
        share = (whole + 1e-3) / (whole + 1e-3).sum(2, keepdim=True)
        floor = self.log_floor.exp()
        own = (smooth + floor * share) / (smooth.sum(2, keepdim=True) + floor)
        return torch.log(own) - torch.log(share)

    def _gaussian_ratio(self, counts: Tensor) -> Tensor:
        places = torch.arange(INTENSITIES, device=counts.device, dtype=counts.dtype)
        floor = self.log_floor.exp()
        whole = counts.sum(1, keepdim=True)
        whole_size = whole.sum(2, keepdim=True) + 1e-3
        size = counts.sum(2, keepdim=True)
        # `floor` voxels of the whole scan are added to each class, in its mean and in its variance.
        mixed = (counts + floor * whole / whole_size) / (size + floor)
        mean = (mixed * places).sum(2, keepdim=True)
        variance = (mixed * (places - mean) ** 2).sum(2, keepdim=True) + self.log_width.exp() ** 2
        density = -0.5 * ((places - mean) ** 2 / variance + torch.log(variance))
        return density - torch.logsumexp(density + torch.log(size / whole_size + 1e-12), 1, keepdim=True)


def intensity_levels(image: Tensor) -> Tensor:
    """An image in the unit of the network's input as levels 0 to 127, int64."""
    return torch.round(image.detach() * INTENSITY_SCALE).clamp(0, INTENSITIES - 1).long()


def look_up(table: Tensor, levels: Tensor) -> Tensor:
    """Entries of a table (batch, classes, 128) at levels (batch, 1, ...), as (batch, classes, ...)."""
    flat = levels.flatten(2).expand(-1, table.shape[1], -1)
    return table.gather(2, flat).reshape(levels.shape[0], table.shape[1], *levels.shape[2:])
