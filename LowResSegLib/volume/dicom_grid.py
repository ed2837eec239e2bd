"""The regular grid that the pictures of a DICOM series make, or why they make none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.volume.dicom_frame import Frame
from LowResSegLib.volume.integrity import NOT_ORTHOGONAL
from LowResSegLib.volume.volume import DIRECTION_TOLERANCE

# Slices nearer than this are at one place, in mm.
_SAME_PLACE = 1e-3
# How far a slice may lie from its place on an even grid, as a part of the distance of the slices: headers round.
_UNEVEN = 0.05
# How far sideways, as a part of a voxel, beside the part of the distance that DIRECTION_TOLERANCE allows.
_SIDEWAYS = 0.1


class Grid(NamedTuple):
    """Pictures in order along the normal, and the geometry as a Volume has it."""

    frames: tuple[Frame, ...]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]


def grid(frames: Sequence[Frame]) -> Grid:
    """Return the grid of pictures of one size, orientation and spacing.

    Raises:
        InputError: There is none, or the voxels are not single numbers; the reason, without a full stop.
    """
    _check_pixels(frames)
    missing = [name for name in ("orientation", "position", "spacing") if any(getattr(f, name) is None for f in frames)]
    if missing:
        raise InputError(f"its headers lack the {' and the '.join(missing)} of slices; export it again from its source")
    row, column = np.reshape(np.array(frames[0].orientation, np.float64), (2, 3))
    normal = np.cross(row, column)
    normal /= math.sqrt(normal @ normal) or 1.0
    matrix = np.stack([row, column, normal])
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > DIRECTION_TOLERANCE:
        raise InputError(NOT_ORTHOGONAL)
    across, down = frames[0].spacing or (0.0, 0.0)
    if min(across, down) <= 0:
        raise InputError(f"its spacing {across} x {down} mm is not positive; export it again from its source")
    positions = np.array([frame.position for frame in frames])
    distances = positions @ normal
    order = np.argsort(distances, kind="stable")
    ordered = tuple(frames[index] for index in order)
    step = _step(distances[order], frames[0])
    _check_upright(positions[order], normal, min(across, down))
    x, y, z = positions[order[0]].tolist()
    return Grid(ordered, (across, down, step), (x, y, z), tuple(matrix.T.ravel().tolist()))


def _check_pixels(frames: Sequence[Frame]) -> None:
    first = frames[0]
    if first.problem:
        raise InputError(first.problem)
    if first.pixels[0] != "1" or first.pixels[1] not in ("MONOCHROME2", "MONOCHROME1"):
        raise InputError(f"it is a colour picture ({first.pixels[1]}); give a scan of single numbers")
    if first.pixels[1] == "MONOCHROME1":
        raise InputError("its voxels are stored inverted (MONOCHROME1), as radiographs are; give the original scan")
    for slope, intercept in {number for frame in frames for number in (frame.rescale, frame.applied)}:
        if slope == 0 or not (math.isfinite(slope) and math.isfinite(intercept)):
            raise InputError(f"its rescale slope and intercept ({slope}, {intercept}) cannot be; export it again")


def _step(distances: np.ndarray, first: Frame) -> float:
    """Return the distance of the slices in mm from their sorted places along the normal."""
    count = len(distances)
    if count == 1:
        if not first.thickness or first.thickness < 0:
            raise InputError("it is a single slice of unknown thickness; give all slices of the series")
        return first.thickness
    gaps = np.diff(distances)
    same = int((gaps < _SAME_PLACE).sum())
    if same:
        raise InputError(
            f"{same} of its {count} slices lie at the place of another one; export the wanted ones as a series"
        )
    step = float(distances[-1] - distances[0]) / (count - 1)
    if np.abs(distances - distances[0] - step * np.arange(count)).max() <= _UNEVEN * step:
        return step
    steps = gaps / gaps.min()
    between = f"between its slices are {gaps.min():.4g} to {gaps.max():.4g} mm"
    if np.abs(steps - np.rint(steps)).max() <= 2 * _UNEVEN:
        missing = int((np.rint(steps) - 1).sum())
        raise InputError(f"{between}, as if {missing} were missing; copy all slices of the series")
    raise InputError(f"{between}; resample it onto even distances")


def _check_upright(positions: np.ndarray, normal: np.ndarray, voxel: float) -> None:
    """Refuse slices that are shifted against each other, as under a tilted gantry."""
    offsets = positions - positions[0]
    along = offsets @ normal
    sideways = np.sqrt(((offsets - along[:, None] * normal) ** 2).sum(axis=1))
    worst = int((sideways - DIRECTION_TOLERANCE * along).argmax())
    if sideways[worst] > _SIDEWAYS * voxel + DIRECTION_TOLERANCE * along[worst]:
        angle = math.degrees(math.atan2(sideways[worst], along[worst]))
        raise InputError(
            f"its slices are shifted sideways (a gantry tilt of {angle:.1f} degrees); correct that first, as Slicer's "
            "DICOM module offers to"
        )
