"""The lattice that a volume's voxels lie on: without its ends, and turned to the axes of the body."""

from __future__ import annotations

from typing import Optional

import numpy as np

from LowResSegLib.sampling import orientation_to
from LowResSegLib.volume import Volume

# As a part of a voxel: how far centres may be apart on one lattice (files round), and what decides a tie.
_SAME_LATTICE = 0.01
TIE = 1e-4


def upright(volume: Volume) -> Volume:
    """A view of a volume with its axes in the order and sense nearest to the body's (LPS); nothing is copied."""
    orientation = orientation_to(volume, "LPS")
    directions = np.reshape(volume.direction, (3, 3))
    origin = np.array(volume.origin)
    spacing, columns = [], []
    for axis in (2, 1, 0):  # of the array, so that the index axes come as x, y, z
        old = orientation.axes[axis]
        column = directions[:, 2 - old]
        if orientation.flips[axis]:
            origin = origin + (volume.array.shape[old] - 1) * volume.spacing[2 - old] * column
            column = -column
        spacing.append(volume.spacing[2 - old])
        columns.append(column)
    x, y, z = origin.tolist()
    direction = tuple(np.stack(columns, axis=1).ravel().tolist())
    return Volume(orientation.apply(volume.array), (spacing[0], spacing[1], spacing[2]), (x, y, z), direction)


def lattice_offset(volume: Volume, frame: Volume) -> Optional[tuple[int, int, int]]:
    """How many voxels (z, y, x) a volume's first voxel lies from the frame's; None where the lattice is another."""
    matrix, shift = index_map(volume, frame)
    offset = np.rint(shift)
    aside = np.abs(corners(volume) @ matrix.T + shift - (corners(volume) + offset)).max()
    if aside > _SAME_LATTICE:
        return None
    return int(offset[2]), int(offset[1]), int(offset[0])


def index_map(source: Volume, target: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and shift that turn indices (x, y, z) of one volume into those of another."""
    (source_matrix, source_origin), (target_matrix, target_origin) = _affine(source), _affine(target)
    inverse = np.linalg.inv(target_matrix)
    return inverse @ source_matrix, inverse @ (source_origin - target_origin)


def _affine(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and shift that turn indices (x, y, z) into mm."""
    return np.reshape(volume.direction, (3, 3)) * np.array(volume.spacing), np.array(volume.origin)


def corners(volume: Volume, beyond: float = 0.0) -> np.ndarray:
    """Indices (x, y, z) of the eight corner voxels, or of points so many voxels further out."""
    ends = [(-beyond, size - 1 + beyond) for size in volume.array.shape[::-1]]
    return np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(8, 3)


def share_a_place(one: Volume, other: Volume) -> bool:
    """Whether no side plane of either box parts the two; a touch is none."""
    for volume, frame in ((one, other), (other, one)):
        matrix, shift = index_map(volume, frame)
        points = corners(volume, beyond=0.5) @ matrix.T + shift
        low, high = points.min(axis=0), points.max(axis=0)
        ends = np.array(frame.array.shape[::-1]) - 0.5
        if (high <= -0.5 + TIE).any() or (low >= ends - TIE).any():
            return False
    return True


def gap_mm(one: Volume, other: Volume, frame: Volume) -> Optional[float]:
    """How far apart two labelmaps on the frame's lattice are; None where one is on another lattice."""
    starts = [lattice_offset(volume, frame) for volume in (one, other)]
    if starts[0] is None or starts[1] is None:
        return None
    ends = [np.add(start, volume.array.shape) for start, volume in zip(starts, (one, other)) if start is not None]
    voxels = np.maximum(np.maximum(np.subtract(starts[1], ends[0]), np.subtract(starts[0], ends[1])), 0)
    return float(np.linalg.norm(voxels * frame.spacing[::-1]))
