"""Losses on high-resolution labels from low-resolution logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from torch import Tensor
from torch.nn import functional


def logits_at_phase(logits: Tensor, phase: Sequence[int], factor: int) -> Tensor:
    """Linearly upsampled logits at every `factor`-th high-resolution voxel, without making the others.

    A low-resolution voxel holds `factor` high-resolution voxels along each axis; of these the one numbered `phase`
    is taken, so that a random phase is a random 1 / factor^3 of all high-resolution voxels.

    Args:
        logits: (batch, classes, z, y, x).
        phase: for z, y and x, a number from 0 to factor - 1.
        factor: high-resolution voxels a low-resolution voxel, along each axis.
    """
    for axis, index in enumerate(phase):
        offset = (index + 0.5) / factor - 0.5
        if offset == 0:
            continue
        dimension, size = axis + 2, logits.shape[axis + 2]
        if offset < 0:
            neighbour = torch.cat([logits.narrow(dimension, 0, 1), logits.narrow(dimension, 0, size - 1)], dimension)
        else:
            neighbour = torch.cat(
                [logits.narrow(dimension, 1, size - 1), logits.narrow(dimension, size - 1, 1)], dimension
            )
        logits = torch.lerp(logits, neighbour, abs(offset))
    return logits


def labels_at_phase(labels: Tensor, phase: Sequence[int], factor: int) -> Tensor:
    """The high-resolution labels (batch, z, y, x) that belong to `logits_at_phase`."""
    z, y, x = phase
    return labels[:, z::factor, y::factor, x::factor]


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """Kullback-Leibler divergence of softened class probabilities (Hinton et al., arXiv 1503.02531)."""
    student_log = functional.log_softmax(logits / temperature, 1)
    teacher_log = functional.log_softmax(teacher / temperature, 1)
    divergence = (teacher_log.exp() * (teacher_log - student_log)).sum(1)
    return divergence.mean() * temperature**2


def soft_cross_entropy(logits: Tensor, shares: Tensor, weights: Optional[Tensor] = None) -> Tensor:
    """Cross-entropy of class logits against shares of classes, both (batch, classes, *size)."""
    terms = -shares * functional.log_softmax(logits, 1)
    if weights is not None:
        terms = terms * weights.view(1, -1, *[1] * (logits.ndim - 2))
    return terms.sum(1).mean()
