"""From the network's grid to labels: the network's passes, slab by slab where memory is short.

A model may ask for more passes than one. With two, the second one sees the scan sampled half a voxel aside and, if the
model may see scans mirrored, mirrored from left to right; with four, both grids are seen as they are and mirrored.
Logits are brought back and averaged. Errors that hang on where the grid happens to lie, or on the side, are then less,
for as many times the network's time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Optional

import numpy as np

from LowResSegLib import engine, kernels
from LowResSegLib.kernels.blend import blend as blend_natively
from LowResSegLib.model import Described, Model
from LowResSegLib.reconstruction import count_slab, empty_labels, evidence_of, fuse_slab, no_counts, reconstruct_slab
from LowResSegLib.sampling import LowResolution, sample
from LowResSegLib.slabs import Slab, cut
from LowResSegLib.volume import Volume

Report = Callable[[str, float], None]

_NETWORK = 0.75  # share of the time that the network is expected to take
# For each number of passes: which grid a pass sees, and whether mirrored where the model may see it so. Those of a grid
# follow each other.
_PASSES = {
    1: ((0, False),),
    2: ((0, False), (1, True)),
    4: ((0, False), (0, True), (1, False), (1, True)),
}


def sample_grids(
    volume: Volume, model: Described, passes: int, step: Callable[[float], None], threads: Optional[int] = None
) -> list[LowResolution]:
    """The volume on the model's grid, and for more passes than one also half a voxel aside; see `sampling.sample`."""
    count = grids_of(passes)

    def share(number: int) -> Callable[[float], None]:
        return lambda done: step((number + done) / count)

    return [
        sample(volume, model.grid, model.normalisation, share(number), threads, aside=0.5 * number)
        for number in range(count)
    ]


def label(
    model: Model,
    grids: Sequence[LowResolution],
    passes: int,
    backend: str,
    threads: Optional[int],
    thickness: Optional[int],
    report: Report,
    look: Optional[Callable[[np.ndarray, int, int, Callable[[], None]], None]] = None,
) -> np.ndarray:
    """Labels of a volume.

    Args:
        model: the model.
        grids: what `sample_grids` gave for these passes.
        passes: 1, 2 or 4.
        backend: see `engine.run`.
        threads: see `engine.run`.
        thickness: slices of the grid that are worked on at a time; None means all.
        report: called with `network` or `reconstruction` and the share of both together that is done, 0 to 1.
        look: called with the averaged logits of each slab, its first slice, the one behind its last (the logits may
            have it, too), and a function that it calls again and again, which may raise to stop.

    Returns:
        uint8 array of the volume's own shape and axes; the thickness does not change it.
    """
    low, fusion = grids[0], model.fusion
    slices = low.grid.shape[0]
    labels = empty_labels(low)
    slabs = cut(model.network, slices, thickness or slices)
    # A fusion counts the intensities of the whole scan before it labels a voxel. Where the logits of the whole grid
    # are too large to be kept, the network runs twice.
    counted = slabs if fusion is not None and len(slabs) > 1 else []
    counts = no_counts(model.network.classes)
    total = len(counted) + len(slabs)
    for number, slab in enumerate([*counted, *slabs]):

        def network(done: float, number: int = number) -> None:
            report("network", (number + _NETWORK * done) / total)

        def reconstruction(done: float, number: int = number) -> None:
            report("reconstruction", (number + _NETWORK + (1 - _NETWORK) * done) / total)

        network(0.0)
        logits = _logits(model, [each.grid for each in grids], passes, slab, backend, threads, network)
        reconstruction(0.0)
        only_count = number < len(counted)
        if look is not None and not only_count:
            look(logits, slab.first, slab.end, partial(reconstruction, 0.0))
        if fusion is None:
            reconstruct_slab(logits, low, slab.first, slab.end, labels, reconstruction, threads)
        elif only_count:
            count_slab(logits, low, slab.first, slab.end, fusion, counts, reconstruction, threads)
        else:
            if not counted:
                count_slab(logits, low, slab.first, slab.end, fusion, counts, lambda done: reconstruction(0.0), threads)
            evidence = evidence_of(counts, fusion)
            fuse_slab(logits, low, slab.first, slab.end, fusion, evidence, labels, reconstruction, threads)
        del logits  # before the next slab's are made
    return labels


def logits_of(
    model: Model,
    grids: Sequence[np.ndarray],
    passes: int,
    backend: str,
    threads: Optional[int],
    step: Callable[[float], None],
) -> np.ndarray:
    """Averaged logits of a whole grid, of which `label` makes labels.

    Args:
        model: the model.
        grids: uint8 (z, y, x), the grids of what `sample_grids` gave for these passes.
        passes: 1, 2 or 4.
        backend: see `engine.run`.
        threads: see `engine.run`.
        step: called with the share that is done, 0 to 1; may raise to stop.

    Returns:
        int16 (classes, z, y, x) on the first grid.
    """
    slices = grids[0].shape[0]
    return _logits(model, grids, passes, Slab(0, slices, 0, slices), backend, threads, step)


def grids_of(passes: int) -> int:
    """How many grids so many passes see."""
    return 1 + _PASSES[passes][-1][0]


def _logits(
    model: Model,
    grids: Sequence[np.ndarray],
    passes: int,
    slab: Slab,
    backend: str,
    threads: Optional[int],
    step: Callable[[float], None],
) -> np.ndarray:
    """Logits of a slab and of the slice behind it, int16 (classes, z, y, x)."""
    axis = mirror_axis(model.grid.orientation)
    first = slab.first - slab.begins
    stop = min(slab.end + 1, grids[0].shape[0]) - slab.begins
    mean = np.empty(0, np.int16)
    for number, (which, mirrored) in enumerate(_PASSES[passes]):
        mirrored = mirrored and model.mirror
        grid = grids[which][slab.begins : slab.stops]

        def share(done: float, number: int = number) -> None:
            step((number + done) / passes)

        grid = np.ascontiguousarray(np.flip(grid, axis) if mirrored else grid)
        logits = engine.run(model.network, grid, backend, threads, share)
        if mirrored:
            logits = np.flip(logits, axis + 1)
        before = min(first, which)  # the grid aside is read one slice before the slab, too
        logits = logits[:, first - before : stop]
        mean = blend(mean, logits, which == 1, number, before, threads, share) if number else logits
        del logits  # so that two passes are in memory at most
    return mean


def mirror_axis(orientation: str) -> int:
    """Axis (0: z, 1: y, 2: x) of a grid of this orientation that runs from left to right."""
    return 2 - next(axis for axis, letter in enumerate(orientation) if letter in "LR")


def blend(
    first: np.ndarray,
    second: np.ndarray,
    aside: bool,
    count: int = 1,
    before: int = 0,
    threads: Optional[int] = None,
    step: Optional[Callable[[float], None]] = None,
) -> np.ndarray:
    """The mean of some passes' logits and of one more, rounded down; `first` is overwritten by it.

    Args:
        first: int16 (classes, z, y, x), the mean of `count` passes.
        second: of the same voxels, or of some that lie half a voxel behind on each axis; a voxel of the first ones then
            lies between its own number and the one before. Has `before` slices more, at its beginning.
        aside: whether it lies half a voxel behind.
        count: passes whose mean `first` is.
        before: 0, or where it lies aside 1. Where there is no voxel before, the one of the same number counts twice.
        threads: at most so many for the native kernels; None means all cores.
        step: called again and again with 1, as the network's part of the pass is done; may raise to stop.
    """
    report = step or (lambda share: None)
    if kernels.available():
        return blend_natively(first, second, aside, count, before, threads, report)
    return blend_in_numpy(first, second, aside, count, before, report)


def blend_in_numpy(
    first: np.ndarray,
    second: np.ndarray,
    aside: bool,
    count: int = 1,
    before: int = 0,
    step: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """What `blend` does, class by class; the native kernel gives the same numbers."""
    for own, other in zip(first, second):
        sums = other.astype(np.int32)
        if not aside:
            own[...] = (count * own.astype(np.int32) + sums) // (count + 1)
            step(1.0)
            continue
        for axis in range(3):
            if axis == 0 and before:
                sums = sums[1:] + sums[:-1]
                continue
            sums = sums + np.concatenate([sums.take([0], axis), sums.take(range(sums.shape[axis] - 1), axis)], axis)
        own[...] = (8 * count * own.astype(np.int32) + sums) // (8 * (count + 1))
        step(1.0)
    return first
