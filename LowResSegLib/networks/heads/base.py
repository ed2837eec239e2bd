"""What heads share: the high-resolution grid, linear upsampling, leads of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.networks.settings import HeadSettings
from LowResSegLib.networks.trunk import Features, cut

LEAD_LIMIT = 10.0
PADDING = -1.0  # below all intensities: what is no voxel of the scan

Levels = Union[Tensor, list[Tensor]]


class Head(nn.Module):
    """Brings low-resolution logits to high resolution.

    A low-resolution voxel holds `factors` high-resolution voxels along each axis, the first one from place 0 on;
    centres of voxels are half a voxel from there, as in area averaging.

    Subclasses make `fine`. Their learnt numbers are shared by all classes, so that they are fewer than 200 for any
    number of classes, but for the published J head.

    Args:
        settings: factor and options.
        classes: of the logits, with the background; 1 for a single logit of the foreground.
        channels: of the features.
        dimensions: 2 or 3.

    Raises:
        InputError: an option that the head does not have.
    """

    needs_image = False
    knows_padding = False  # whether `fine` sees what is `PADDING`; to others it is 0, or as the voxels beside it
    OPTIONS: tuple[str, ...] = ()

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__()
        unknown = set(settings.options) - set(self.OPTIONS)
        if unknown:
            known = ", ".join(self.OPTIONS) or "none"
            raise InputError(f"The head {settings.name} has no option {', '.join(sorted(unknown))}; it has {known}.")
        self.settings, self.classes, self.channels, self.dimensions = settings, classes, channels, dimensions
        self.factors = settings.factors(dimensions)

    def option(self, name: str, default: Any) -> Any:
        """The value of an option."""
        return self.settings.options.get(name, default)

    def forward(
        self, features: Features, image: Optional[Tensor] = None, size: Optional[Sequence[int]] = None
    ) -> Levels:
        """High-resolution logits.

        Args:
            features: logits (batch, classes, [z,] y, x) and what they were made from.
            image: (batch, 1, [z,] y, x) at high resolution, in the unit of the network's input; `PADDING` where the
                scan has no voxel. Only heads that need one look at it.
            size: of the result, [z,] y, x; by default the image's, or the low-resolution size times the factors.

        Returns:
            Logits (batch, classes, *size). The J head in training: a list of them, one a level from the
            low resolution up, each twice as large as the one before.

        Raises:
            InputError: the head needs an image and there is none, or its size does not fit.
        """
        whole = [edge * factor for edge, factor in zip(features.logits.shape[2:], self.factors)]
        if self.needs_image and image is None:
            raise InputError(f"The head {self.settings.name} needs the image at high resolution.")
        if size is None:
            size = whole if image is None else image.shape[2:]
        size = [int(edge) for edge in size]
        if len(size) != len(whole) or any(not 0 < edge <= limit for edge, limit in zip(size, whole)):
            raise InputError(f"Low-resolution logits cover {whole} voxels at high resolution, not {size}.")
        if not self.needs_image:
            return cropped(self.fine(features, None), size, whole)
        assert image is not None
        if list(image.shape[2:]) != size:
            raise InputError(f"The image has {list(image.shape[2:])} voxels, the wanted logits {size}.")
        missing = [limit - edge for edge, limit in zip(size, whole)]
        padding = [part for edge in reversed(missing) for part in (0, edge)]
        image = image if self.knows_padding else image.clamp(min=0)
        if any(missing):
            mode, value = ("constant", PADDING) if self.knows_padding else ("replicate", None)
            image = functional.pad(image, padding, mode, value)
        return cropped(self.fine(features, image), size, whole)

    def fine(self, features: Features, image: Optional[Tensor]) -> Levels:
        """High-resolution logits on the whole grid; the image, if needed, has its size."""
        raise NotImplementedError

    def linear(self, values: Tensor) -> Tensor:
        """Low-resolution values upsampled linearly to the whole high-resolution grid."""
        return upsample_linear(values, self.factors)

    def coarse(self, image: Tensor) -> Tensor:
        """A high-resolution image averaged over low-resolution voxels."""
        pool = functional.avg_pool2d if self.dimensions == 2 else functional.avg_pool3d
        averaged: Tensor = pool(image, self.factors)
        return averaged


def cropped(found: Levels, size: Sequence[int], whole: Sequence[int]) -> Levels:
    """Cut away what was padded; of a list, each level in proportion."""
    if list(size) == list(whole):
        return found
    if isinstance(found, list):
        return [
            cut(level, [-(-edge * n // full) for edge, full, n in zip(size, whole, level.shape[2:])]) for level in found
        ]
    return cut(found, size)


def upsample_linear(values: Tensor, factors: Sequence[int]) -> Tensor:
    """Linear interpolation between centres of voxels by whole factors; constant beyond the outermost centres."""
    size = [edge * factor for edge, factor in zip(values.shape[2:], factors)]
    mode = "bilinear" if values.ndim == 4 else "trilinear"
    return functional.interpolate(values, size=size, mode=mode, align_corners=False)


def leads(logits: Tensor, limit: float = LEAD_LIMIT) -> Tensor:
    """By how much each class's logit is above the best other one, (batch, classes, ...), in +-limit.

    Of two classes these are the log odds, of more about that, and integer logits give integers. A single logit is its
    own lead.
    """
    if logits.shape[1] == 1:
        return logits.clamp(-limit, limit)
    best, places = logits.topk(2, 1)
    numbers = torch.arange(logits.shape[1], device=logits.device).reshape(1, -1, *(1,) * (logits.ndim - 2))
    others = torch.where(numbers == places[:, :1], best[:, 1:], best[:, :1])
    return (logits - others).clamp(-limit, limit)
