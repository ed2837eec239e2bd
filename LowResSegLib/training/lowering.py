"""From high resolution to the network's grid, in torch, for crops and padded volumes in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from LowResSegLib.networks.heads.base import PADDING
from LowResSegLib.networks.ternary import INTENSITY_SCALE

HIGHEST = 127.0


@lru_cache(maxsize=64)
def weights(size: int, factor: int, kind: str) -> Tensor:
    """Weights (low, high) of an axis of `size` voxels, a multiple of `factor`; each row sums to one inside the axis.

    `triangle` is the filter of `sampling.resample`, as wide as two low-resolution voxels; `area` is the mean of one;
    `nearest` takes the voxel at, or just after, its middle.
    """
    places = torch.arange(size, dtype=torch.float64)
    first = torch.arange(size // factor, dtype=torch.float64) * factor
    if kind == "triangle":
        centre = first + (factor - 1) / 2
        matrix = (1 - (places - centre[:, None]).abs() / factor).clamp(min=0) / factor
    elif kind == "area":
        matrix = ((places >= first[:, None]) & (places < first[:, None] + factor)).double() / factor
    else:
        matrix = (places == first[:, None] + factor // 2).double()
    return matrix.float()


def _along_axes(values: Tensor, factors: Sequence[int], kind: str) -> Tensor:
    for axis, factor in enumerate(factors, values.ndim - len(factors)):
        if factor > 1:
            matrix = weights(values.shape[axis], factor, kind).to(values)
            values = torch.tensordot(values, matrix, dims=([axis], [1])).movedim(-1, axis)
    return values


def lower_image(image: Tensor, inside: Tensor, factors: Sequence[int], kind: str = "triangle") -> Tensor:
    """The network's input of a high-resolution image: whole levels from 0 to 127, over `INTENSITY_SCALE`.

    Args:
        image: (batch, channels, *size) of levels, sizes multiples of the factors.
        inside: (batch, 1, *size), one where the scan is and zero in the padding, which does not take part.
        factors: along each axis.
        kind: as `weights`.
    """
    share = _along_axes(inside, factors, kind)
    lowered = _along_axes(image * inside, factors, kind) / share.clamp(min=1e-6)
    # The triangle reaches from a voxel beyond the scan's end into the scan; such a voxel is padding all the same.
    known = (share > 1e-6) & (_along_axes(inside, factors, "area") > 1e-6)
    levels = torch.round(lowered).clamp(0, HIGHEST) * known
    return levels / INTENSITY_SCALE


def lower_labels(one_hot: Tensor, factors: Sequence[int]) -> Tensor:
    """Share of each class in each low-resolution voxel, of (batch, classes, *size)."""
    return _along_axes(one_hot, factors, "area")


def shares_at(one_hot: Tensor, size: Sequence[int]) -> Tensor:
    """One-hot labels (batch, classes, *size) at another size: means going down, linear going up.

    J-Net's published code resizes linearly without averaging; means are the same rule for every level.
    """
    if list(one_hot.shape[2:]) == list(size):
        return one_hot
    factors = [high // low for high, low in zip(one_hot.shape[2:], size)]
    if all(factor * low == high for factor, low, high in zip(factors, size, one_hot.shape[2:])):
        return lower_labels(one_hot, factors)
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return functional.interpolate(one_hot, tuple(size), mode=mode, align_corners=False)


def head_image(image: Tensor, inside: Tensor) -> Tensor:
    """What a head sees at high resolution: levels from 0 to 127 over `INTENSITY_SCALE`, `PADDING` in the padding."""
    return torch.where(inside > 0, image.clamp(0, HIGHEST) / INTENSITY_SCALE, PADDING)
