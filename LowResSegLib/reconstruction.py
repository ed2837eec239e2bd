"""From low-resolution logits to a labelmap at the resolution of the scan.

Logits are interpolated linearly in fixed point and the class with the largest one wins, slab by slab, so that no
full-size array of class values ever exists. Places are rounded to 1/64 of a grid voxel; the weights then have 6 bits on
each axis and logits 13, so sums are exact in int32, and equal ones are ties, which go to the lower label.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

import numpy as np

from LowResSegLib.sampling import LowResolution

_BITS = 6
_ONE = 1 << _BITS


def positions(size: int, spacing: int, grid_size: int, grid_spacing: int) -> tuple[np.ndarray, np.ndarray]:
    """For each voxel along an axis the grid voxel before it, and the weight of the next one, 0 to 63 of 64.

    Args:
        size: of the volume along the axis.
        spacing: of the volume; both spacings are whole numbers of one unit, so that this is exact.
        grid_size: of the grid along the axis; grid and volume begin at the same edge.
        grid_spacing: of the grid. Beyond the outermost centres of grid voxels their values are kept.
    """
    centre = 2 * np.arange(size, dtype=np.int64) + 1  # in half voxels
    # Position in 64ths of grid voxels, from the centre of the first one, rounded to nearest.
    scaled = ((centre * spacing - grid_spacing) * _ONE + grid_spacing) // (2 * grid_spacing)
    scaled = np.clip(scaled, 0, (grid_size - 1) * _ONE)
    before = np.minimum(scaled >> _BITS, max(grid_size - 2, 0))
    return before, (scaled - (before << _BITS)).astype(np.int32)


def _between(array: np.ndarray, before: np.ndarray, weight: np.ndarray, axis: int) -> np.ndarray:
    """Interpolated along one axis, times 64."""
    shape = [1] * array.ndim
    shape[axis] = -1
    weight = weight.reshape(shape)
    after = np.minimum(before + 1, array.shape[axis] - 1)
    return np.take(array, before, axis) * (_ONE - weight) + np.take(array, after, axis) * weight


def _extent(occupied: np.ndarray, before: np.ndarray) -> slice:
    """Voxels along an axis whose two grid neighbours are not both without a label."""
    after = np.minimum(before + 1, len(occupied) - 1)
    inside = np.flatnonzero(occupied[before] | occupied[after])
    return slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 0)


def reconstruct(logits: np.ndarray, low: LowResolution, step: Optional[Callable[[float], None]] = None) -> np.ndarray:
    """Labelmap on the source grid.

    Args:
        logits: int16 (classes, z, y, x) on `low.grid`, of magnitude up to 4095.
        low: what `sampling.sample` made of the volume.
        step: called with the share that is done, 0 to 1; may raise to stop.

    Returns:
        uint8 array of the volume's own shape and axes.
    """
    report = step or (lambda share: None)
    logits = logits[(slice(None), *(slice(0, n) for n in low.size))]
    result = np.zeros(low.source_shape, np.uint8)
    axes = [positions(n, s, m, low.spacing) for n, s, m in zip(low.source_shape, low.source_spacing, low.size)]
    # Where all neighbours of a voxel are background, it is background: certain, since sums are exact.
    labelled = logits.argmax(0) > 0
    box = [_extent(labelled.any(axis=tuple(a for a in range(3) if a != axis)), axes[axis][0]) for axis in range(3)]
    (z_before, z_weight), (y_before, y_weight), (x_before, x_weight) = (
        (before[part], weight[part]) for (before, weight), part in zip(axes, box)
    )
    region = result[tuple(box)]
    rows: dict[int, np.ndarray] = {}  # grid slices, already interpolated along y and x
    for z, (before, weight) in enumerate(zip(z_before, z_weight)):
        wanted = {int(before), int(min(before + 1, low.size[0] - 1))}
        rows = {index: values for index, values in rows.items() if index in wanted}
        for index in wanted - set(rows):
            plane = logits[:, index].astype(np.int32)
            rows[index] = _between(_between(plane, y_before, y_weight, 1), x_before, x_weight, 2)
        first, second = rows[int(before)], rows[max(wanted)]
        region[z] = (first * (_ONE - weight) + second * weight).argmax(0)
        report((z + 1) / len(z_before))
    return np.ascontiguousarray(low.orientation.undo(result))
