"""Where source voxels lie on the grid, and interpolation between its voxels."""

from __future__ import annotations

import numpy as np

from LowResSegLib.sampling import LowResolution

BITS = 6
ONE = 1 << BITS

Places = list[tuple[np.ndarray, np.ndarray]]


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
    scaled = ((centre * spacing - grid_spacing) * ONE + grid_spacing) // (2 * grid_spacing)
    scaled = np.clip(scaled, 0, (grid_size - 1) * ONE)
    before = np.minimum(scaled >> BITS, max(grid_size - 2, 0))
    return before, (scaled - (before << BITS)).astype(np.int32)


def between(array: np.ndarray, before: np.ndarray, weight: np.ndarray, axis: int) -> np.ndarray:
    """Interpolated along one axis, times 64."""
    shape = [1] * array.ndim
    shape[axis] = -1
    weight = weight.reshape(shape)
    after = np.minimum(before + 1, array.shape[axis] - 1)
    return np.take(array, before, axis) * (ONE - weight) + np.take(array, after, axis) * weight


def extent(occupied: np.ndarray, before: np.ndarray) -> slice:
    """Voxels along an axis whose two grid neighbours are not both without a label."""
    after = np.minimum(before + 1, len(occupied) - 1)
    inside = np.flatnonzero(occupied[before] | occupied[after])
    return slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 0)


def empty_labels(low: LowResolution) -> np.ndarray:
    """An array of the volume's own shape and axes for its labels, uint8."""
    shape = low.orientation.undo(np.broadcast_to(np.uint8(0), low.source_shape)).shape
    return np.zeros(shape, np.uint8)


def slab_places(low: LowResolution, first: int, end: int) -> tuple[slice, Places]:
    """Source slices whose grid slice before them is `first` to `end` - 1, and the `positions` of their voxels.

    Grid slices are counted from `first`. There are no such slices where the grid is padded, or finer than the volume.
    """
    (before, weight), *others = (
        positions(n, s, m, low.spacing) for n, s, m in zip(low.source_shape, low.source_spacing, low.size)
    )
    start, stop = (int(n) for n in np.searchsorted(before, (first, end)))
    return slice(start, stop), [(before[start:stop] - first, weight[start:stop]), *others]
