"""From low-resolution logits to a labelmap at the resolution of the scan.

Logits are interpolated linearly in fixed point and the class with the largest one wins, slab by slab, so that no
full-size array of class values ever exists. Places are rounded to 1/64 of a grid voxel; the weights then have 6 bits on
each axis and logits 13, so sums are exact in int32, and equal ones are ties, which go to the lower label. Where the
native kernels are there, they do it; numpy's way is what their labels are compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.kernels.reconstruct import reconstruct as reconstruct_natively
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


def reconstruct(
    logits: np.ndarray,
    low: LowResolution,
    step: Optional[Callable[[float], None]] = None,
    threads: Optional[int] = None,
) -> np.ndarray:
    """Labelmap on the source grid.

    Args:
        logits: int16 (classes, z, y, x) on `low.grid`, of magnitude up to 4095.
        low: what `sampling.sample` made of the volume.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many for the native kernels; None means all cores.

    Returns:
        uint8 array of the volume's own shape and axes.
    """
    labels = empty_labels(low)
    reconstruct_slab(logits, low, 0, low.grid.shape[0], labels, step, threads)
    return labels


def empty_labels(low: LowResolution) -> np.ndarray:
    """An array of the volume's own shape and axes for its labels, uint8."""
    shape = low.orientation.undo(np.broadcast_to(np.uint8(0), low.source_shape)).shape
    return np.zeros(shape, np.uint8)


def reconstruct_slab(
    logits: np.ndarray,
    low: LowResolution,
    first: int,
    end: int,
    labels: np.ndarray,
    step: Optional[Callable[[float], None]] = None,
    threads: Optional[int] = None,
) -> None:
    """Labels of the voxels whose nearest slice of the grid before them is `first` to `end` - 1.

    Args:
        logits: int16 (classes, z, y, x) of these slices, and of the one behind them if there is one.
        low: see `reconstruct`.
        first: slice of `low.grid` that the logits begin with.
        end: slice of `low.grid`.
        labels: what `empty_labels` gave; these voxels are written.
        step: see `reconstruct`.
        threads: see `reconstruct`.
    """
    (before, weight), *others = (
        positions(n, s, m, low.spacing) for n, s, m in zip(low.source_shape, low.source_spacing, low.size)
    )
    report = step or (lambda share: None)
    start, stop = np.searchsorted(before, (first, end))
    if start == stop:  # slices of padding, or of a grid that is finer than the volume
        report(1.0)
        return
    places = [(before[start:stop] - first, weight[start:stop]), *others]
    used = (min(logits.shape[1], low.size[0] - first), *low.size[1:])
    target = low.orientation.apply(labels)[start:stop]
    method = reconstruct_natively if kernels.available() else reconstruct_in_numpy
    method(logits, used, places, target, report, threads)


def reconstruct_in_numpy(
    logits: np.ndarray,
    used: tuple[int, ...],
    places: Sequence[tuple[np.ndarray, np.ndarray]],
    labels: np.ndarray,
    step: Callable[[float], None],
    threads: Optional[int] = None,
) -> None:
    """What `kernels.reconstruct.reconstruct` does, slice by slice; see there. `threads` is left to numpy."""
    logits = logits[(slice(None), *(slice(0, n) for n in used))]
    # Where all neighbours of a voxel are background, it is background: certain, since sums are exact.
    labelled = np.zeros(logits.shape[1:], np.bool_)
    for plane, found in zip(logits.swapaxes(0, 1), labelled):  # all at once would be copied
        np.any(plane[1:] > plane[0], axis=0, out=found)
    occupied = [np.asarray(labelled.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    box = [_extent(along, before) for along, (before, _) in zip(occupied, places)]
    (z_before, z_weight), (y_before, y_weight), (x_before, x_weight) = (
        (before[part], weight[part].astype(np.int32)) for (before, weight), part in zip(places, box)
    )
    labels[...] = 0
    region = labels[tuple(box)]
    if not len(region):
        step(1.0)
    rows: dict[int, np.ndarray] = {}  # grid slices, already interpolated along y and x
    for z, (before, weight) in enumerate(zip(z_before, z_weight)):
        wanted = {int(before), int(min(before + 1, used[0] - 1))}
        rows = {index: values for index, values in rows.items() if index in wanted}
        for index in wanted - set(rows):
            plane = logits[:, index].astype(np.int32)
            rows[index] = _between(_between(plane, y_before, y_weight, 1), x_before, x_weight, 2)
        first, second = rows[int(before)], rows[max(wanted)]
        region[z] = (first * (_ONE - weight) + second * weight).argmax(0)
        step((z + 1) / len(z_before))
