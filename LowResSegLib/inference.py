"""From the network's grid to labels: the network's passes, slab by slab where memory is short.

A model may ask for two passes. The second one sees the scan mirrored from left to right and sampled half a voxel aside;
its logits are brought back and averaged with the first one's. Errors that hang on where the grid happens to lie, or on
the side, are then halved, for twice the time of the network. It is for models whose structures have no side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional

import numpy as np

from LowResSegLib import engine, kernels
from LowResSegLib.kernels.blend import blend as blend_natively
from LowResSegLib.model import Model
from LowResSegLib.reconstruction import empty_labels, reconstruct_slab
from LowResSegLib.sampling import LowResolution, sample
from LowResSegLib.slabs import Slab, cut
from LowResSegLib.volume import Volume

Report = Callable[[str, float], None]

_NETWORK = 0.75  # share of the time that the network is expected to take


def sample_passes(
    volume: Volume, model: Model, step: Callable[[float], None], threads: Optional[int] = None
) -> list[LowResolution]:
    """The volume on the model's grid for each of its passes; see `sampling.sample`."""

    def share(number: int) -> Callable[[float], None]:
        return lambda done: step((number + done) / model.passes)

    return [
        sample(volume, model.grid, model.normalisation, share(number), threads, aside=0.5 * number)
        for number in range(model.passes)
    ]


def label(
    model: Model,
    passes: Sequence[LowResolution],
    backend: str,
    threads: Optional[int],
    thickness: Optional[int],
    report: Report,
) -> np.ndarray:
    """Labels of a volume.

    Args:
        model: the model.
        passes: of the volume, as `sampling.sample` gives them: one, or two whose second one is half a voxel aside.
        backend: see `engine.run`.
        threads: see `engine.run`.
        thickness: slices of the grid that are worked on at a time; None means all.
        report: called with `network` or `reconstruction` and the share of both together that is done, 0 to 1.

    Returns:
        uint8 array of the volume's own shape and axes; the thickness does not change it.
    """
    low = passes[0]
    slices = low.grid.shape[0]
    labels = empty_labels(low)
    slabs = cut(model.plan, slices, thickness or slices)
    for number, slab in enumerate(slabs):

        def network(done: float, number: int = number) -> None:
            report("network", (number + _NETWORK * done) / len(slabs))

        def reconstruction(done: float, number: int = number) -> None:
            report("reconstruction", (number + _NETWORK + (1 - _NETWORK) * done) / len(slabs))

        logits = _logits(model, passes, slab, backend, threads, network)
        reconstruct_slab(logits, low, slab.first, slab.end, labels, reconstruction, threads)
        del logits  # before the next slab's are made
    return labels


def _logits(
    model: Model,
    passes: Sequence[LowResolution],
    slab: Slab,
    backend: str,
    threads: Optional[int],
    step: Callable[[float], None],
) -> np.ndarray:
    """Logits of a slab and of the slice behind it, int16 (classes, z, y, x)."""
    axis = mirror_axis(model.grid.orientation)
    results = []
    for number, low in enumerate(passes):
        grid = low.grid[slab.begins : slab.stops]

        def share(done: float, number: int = number) -> None:
            step((number + done) / len(passes))

        grid = np.ascontiguousarray(np.flip(grid, axis) if number else grid)
        results.append(engine.run(model.plan, grid, backend, threads, share))
    first = slab.first - slab.begins
    stop = min(slab.end + 1, low.grid.shape[0]) - slab.begins
    if len(results) == 1:
        return results[0][:, first:stop]
    before = min(first, 1)  # the second pass is read one slice before the slab, too
    second = np.flip(results[1], axis + 1)[:, first - before : stop]
    return blend(results[0][:, first:stop], second, before, threads)


def mirror_axis(orientation: str) -> int:
    """Axis (0: z, 1: y, 2: x) of a grid of this orientation that runs from left to right."""
    return 2 - next(axis for axis, letter in enumerate(orientation) if letter in "LR")


def blend(first: np.ndarray, second: np.ndarray, before: int, threads: Optional[int] = None) -> np.ndarray:
    """The mean of two passes' logits, rounded down.

    Args:
        first: int16 (classes, z, y, x).
        second: of voxels that lie half a voxel behind those of the first pass on each axis; a voxel of the first one
            lies between its own number and the one before. Has `before` slices more, at its beginning.
        before: 0 or 1. Where there is no voxel before, the one of the same number counts twice.
        threads: at most so many for the native kernels; None means all cores.
    """
    if kernels.available():
        return blend_natively(first, second, before, threads)
    return blend_in_numpy(first, second, before)


def blend_in_numpy(first: np.ndarray, second: np.ndarray, before: int) -> np.ndarray:
    """What `blend` does, class by class; the native kernel gives the same numbers."""
    result = np.empty(first.shape, np.int16)
    for own, other, blended in zip(first, second, result):
        sums = other.astype(np.int32)
        for axis in range(3):
            if axis == 0 and before:
                sums = sums[1:] + sums[:-1]
                continue
            sums = sums + np.concatenate([sums.take([0], axis), sums.take(range(sums.shape[axis] - 1), axis)], axis)
        blended[...] = (8 * own.astype(np.int32) + sums) >> 4
    return result
