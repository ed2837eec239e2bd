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
from LowResSegLib.reconstruction.places import ONE, between, extent, slab_places
from LowResSegLib.sampling import LowResolution


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
        low: what `sampling.sample` made of the volume.
        first: slice of `low.grid` that the logits begin with.
        end: slice of `low.grid`.
        labels: what `empty_labels` gave; these voxels are written.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many for the native kernels; None means all cores.
    """
    report = step or (lambda share: None)
    slices, places = slab_places(low, first, end)
    if slices.start == slices.stop:
        report(1.0)
        return
    used = (min(logits.shape[1], low.size[0] - first), *low.size[1:])
    target = low.orientation.apply(labels)[slices]
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
    box = [extent(along, before) for along, (before, _) in zip(occupied, places)]
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
            rows[index] = between(between(plane, y_before, y_weight, 1), x_before, x_weight, 2)
        first, second = rows[int(before)], rows[max(wanted)]
        region[z] = (first * (ONE - weight) + second * weight).argmax(0)
        step((z + 1) / len(z_before))
