"""Heads that see no high-resolution image: what lies inside a low-resolution voxel, from features and logits."""

from __future__ import annotations

import itertools
import math
from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.networks.heads.base import Head, leads
from LowResSegLib.networks.settings import HeadSettings
from LowResSegLib.networks.trunk import Features

BUDGET = 199


class BlocksHead(Head):
    """Moves boundaries inside low-resolution voxels by distances that features tell.

    Features give, through one convolution of edge 1 and a fixed basis of cosines over the voxels of a block, a
    displacement along each axis for every high-resolution voxel; it moves all classes' linearly upsampled logits
    along their gradient, to first order: logit + sum over axes of displacement * gradient. So all features say where
    a boundary lies, and the number of parameters does not depend on that of classes (features x axes x basis, with as
    much of the basis as fits 200). The idea of label blocks from features is that of Tian et al., "DUpsampling"
    (arXiv 1903.02120), which learns a map for each class. It starts at linear.
    """

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        allowed = BUDGET // (dimensions * (channels + 1))
        if allowed < 1:
            raise InputError(f"The blocks head takes at most {BUDGET // dimensions - 1} features, not {channels}.")
        if max(self.factors) == 1:
            raise InputError("The blocks head needs a factor above 1; take the linear head for a factor of 1.")
        basis = _cosines(self.factors)[:allowed]
        self.basis: Tensor
        self.register_buffer("basis", basis, persistent=False)
        convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.read = convolution(channels, dimensions * len(basis), 1)
        for parameter in self.read.parameters():
            nn.init.zeros_(parameter)

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        logits = self.linear(features.logits)
        found = self.read(features.features)
        found = found.reshape(found.shape[0], self.dimensions, len(self.basis), *found.shape[2:])
        # (batch, axis, [z,] y, x) of blocks with voxels last, then voxels to their places.
        blocks = torch.einsum("bak...,kv->bav...", found, self.basis.flatten(1))
        displacement = _to_places(blocks.flatten(1, 2), self.factors)
        for axis in range(self.dimensions):
            gradient = self.linear(_gradient(features.logits, axis + 2))
            logits = logits + displacement[:, axis : axis + 1] * gradient
        return logits


class ShuffleHead(Head):
    """A small perceptron, the same for every class, from 3 leads along each axis to the voxels of a block.

    Pixel shuffle after Shi et al. (arXiv 1609.05158), as a correction of linear upsampling: the leads of a
    low-resolution voxel and its neighbours, some hidden values, ReLU, then the coefficients of a basis of cosines
    over the block. Unlike the J head it is not linear. It starts at linear.
    """

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        whole = torch.cat([torch.ones(1, *self.factors), _cosines(self.factors)])
        window = 3**dimensions
        hidden = 4 if dimensions == 3 else 6
        allowed = (BUDGET - hidden * (window + 1)) // (hidden + 1)
        self.basis: Tensor
        self.register_buffer("basis", whole[:allowed], persistent=False)
        convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.enter = convolution(1, hidden, 3)
        self.leave = convolution(hidden, len(self.basis), 1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        logits = features.logits
        values = leads(logits).flatten(0, 1)[:, None]
        padded = functional.pad(values, (1, 1) * self.dimensions, mode="replicate")
        found = self.leave(functional.relu(self.enter(padded)))
        blocks = torch.einsum("bk...,kv->bv...", found, self.basis.flatten(1))
        correction = _to_places(blocks, self.factors)
        return self.linear(logits) + correction.reshape(*logits.shape[:2], *correction.shape[2:])


def _cosines(factors: tuple[int, ...]) -> Tensor:
    """Products of cosines over a block, (functions, *factors), smooth ones first and without the constant."""
    lines = [
        [torch.cos(math.pi * k * (torch.arange(factor) + 0.5) / factor) for k in range(factor)] for factor in factors
    ]
    orders = sorted(itertools.product(*(range(factor) for factor in factors)), key=lambda order: (sum(order), order))
    functions = []
    for order in orders[1:]:
        function = torch.ones(())
        for axis, k in enumerate(order):
            function = function[..., None] * lines[axis][k]
        functions.append(function)
    return torch.stack(functions) if functions else torch.zeros(0, *factors)


def _gradient(values: Tensor, axis: int) -> Tensor:
    """Central differences along an axis, a low-resolution voxel; half of that at the border."""
    size = values.shape[axis]
    first, last = values.narrow(axis, 0, 1), values.narrow(axis, size - 1, 1)
    padded = torch.cat([first, values, last], axis)
    return 0.5 * (padded.narrow(axis, 2, size) - padded.narrow(axis, 0, size))


def _to_places(blocks: Tensor, factors: tuple[int, ...]) -> Tensor:
    """(batch, maps * voxels of a block, [z,] y, x) to (batch, maps, [Z,] Y, X), as pixel shuffle does."""
    count = len(factors)
    batch, size = blocks.shape[0], blocks.shape[2:]
    parts = blocks.reshape(batch, -1, *factors, *size)
    order = [0, 1]
    for axis in range(count):
        order += [2 + count + axis, 2 + axis]
    return parts.permute(order).reshape(batch, -1, *(edge * factor for edge, factor in zip(size, factors)))
