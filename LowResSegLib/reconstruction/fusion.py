"""Labels from low-resolution logits and from the scan's own intensities, in fixed point.

At each voxel the classes take part whose linearly interpolated logits are at most the reach of the model's table
(`Fusion.lead_reach`) below the best one. Where that is the best one alone, as nearly everywhere, it is the label.

First the scan is looked at as a whole (`count_slab`): the classes that take part get their probabilities at each
voxel, by the softmax of their logits, and for each class the voxels' intensities are counted, weighted by these. The
histograms become a table of log-likelihood ratios by class and level (`evidence.evidence_of`). The thought is that of
segmentation with intensity models of each scan, as in Puonti et al., SAMSEG, NeuroImage 2016. Of scans of more than
eight million voxels some slices are counted for all.

Then voxels are labelled (`fuse_slab`). To the logit of a class that takes part a correction is added, which the
model's own table gives for three numbers: the class's lead over the best other one, and its ratios at the voxel's
level and at the one that is interpolated from the grid, which is what the network could see. The class with the
largest sum wins, the lower one of equal ones.

Everything is an integer. Interpolated logits are exact multiples of 2^-18, leads likewise. Along leads corrections are
interpolated with weights of 8 bits; ratios take the nearest step. Logits and corrections are of magnitude up to 4095,
so that their sums stay below 2^31. What comes out depends on neither threads nor slabs, and is the same for the 48
reoriented copies of a scan, since the voxels are looked at in the model's orientation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.kernels import fuse as native
from LowResSegLib.model import Fusion
from LowResSegLib.reconstruction.evidence import CERTAIN, LEVELS, decay
from LowResSegLib.reconstruction.places import BITS, ONE, Places, between, extent, slab_places
from LowResSegLib.sampling import LowResolution

SHIFT = 3 * BITS  # interpolated numbers are multiples of 2 to the power of minus this
LEAD_BITS = 8
COUNTED = 1 << 22  # voxels that are counted, or a few more

Step = Callable[[float], None]
Box = tuple[slice, ...]


def no_counts(classes: int) -> np.ndarray:
    """Counts of nothing, to which `count_slab` adds."""
    return np.zeros((classes, LEVELS), np.int64)


def count_slab(
    logits: np.ndarray,
    low: LowResolution,
    first: int,
    end: int,
    fusion: Fusion,
    counts: np.ndarray,
    step: Optional[Step] = None,
    threads: Optional[int] = None,
) -> None:
    """Count the levels of the voxels whose nearest slice of the grid before them is `first` to `end` - 1.

    Args:
        logits: int16 (classes, z, y, x) of these slices, and of the one behind them if there is one.
        low: what `sampling.sample` made of the volume.
        first: slice of `low.grid` that the logits begin with.
        end: slice of `low.grid`.
        fusion: of the model.
        counts: int64 (classes, 128); probabilities in 256ths are added to it.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many for the native kernels; None means all cores.
    """
    report = step or (lambda share: None)
    assert low.scan is not None
    slices, places = slab_places(low, first, end)
    axis, stride = thinned(low.source_shape)
    begin = slices.start if axis == 0 else 0
    kept = slice(-begin % stride, None, stride)
    part = [slice(slices.start, slices.stop), slice(None), slice(None)]
    part[axis] = slice(begin + kept.start, slices.stop if axis == 0 else None, stride)
    places[axis] = (places[axis][0][kept], places[axis][1][kept])
    if not len(places[0][0]):
        report(1.0)
        return
    used = (min(logits.shape[1], low.size[0] - first), *low.size[1:])
    levels = low.scan.levels(tuple(part), threads)
    found = np.zeros_like(counts)
    if kernels.available():
        native.count(logits, used, places, levels, decay(fusion), found, report, threads)
    else:
        count_in_numpy(logits, used, places, levels, fusion, found, report)
    counts += stride * found


def thinned(shape: tuple[int, ...]) -> tuple[int, int]:
    """Axis along which only each so many-th slice is counted: the longest one, of equal ones the first."""
    axis = int(np.argmax(shape))
    return axis, max(1, int(np.prod(shape, dtype=np.int64)) // COUNTED)


def fuse_slab(
    logits: np.ndarray,
    low: LowResolution,
    first: int,
    end: int,
    fusion: Fusion,
    evidence: np.ndarray,
    labels: np.ndarray,
    step: Optional[Step] = None,
    threads: Optional[int] = None,
) -> None:
    """Labels of the voxels whose nearest slice of the grid before them is `first` to `end` - 1.

    Args:
        logits: int16 (classes, z, y, x) of these slices, and of the one behind them if there is one.
        low: what `sampling.sample` made of the volume.
        first: slice of `low.grid` that the logits begin with.
        end: slice of `low.grid`.
        fusion: of the model.
        evidence: what `evidence_of` made of the counts of all slabs.
        labels: what `empty_labels` gave; these voxels are written.
        step: called with the share that is done, 0 to 1; may raise to stop.
        threads: at most so many for the native kernels; None means all cores.
    """
    report = step or (lambda share: None)
    assert low.scan is not None
    slices, places = slab_places(low, first, end)
    if slices.start == slices.stop:
        report(1.0)
        return
    used = (min(logits.shape[1], low.size[0] - first), *low.size[1:])
    seen = low.grid[first : first + used[0], : used[1], : used[2]]
    levels = low.scan.levels((slices,), threads)
    target = low.orientation.apply(labels)[slices]
    if kernels.available():
        table, shift = fusion.corrections, fusion.lead_shift
        native.fuse(logits, seen, places, levels, table, shift, evidence, target, report, threads)
    else:
        fuse_in_numpy(logits, seen, places, levels, fusion, evidence, target, report)


def count_in_numpy(
    logits: np.ndarray,
    used: tuple[int, ...],
    places: Places,
    levels: np.ndarray,
    fusion: Fusion,
    counts: np.ndarray,
    step: Step,
) -> None:
    """Add the classes' probabilities at voxels of each level to counts, slice by slice.

    Args:
        logits: int16 (classes, z, y, x).
        used: (z, y, x), the part of the grid that covers the volume.
        places: of z, y, x: what `places.positions` gives.
        levels: uint8 (z, y, x) on the source grid.
        fusion: of the model.
        counts: int64 (classes, 128), which is added to.
        step: called with the share that is done, 0 to 1; may raise to stop.
    """
    logits = logits[(slice(None), *(slice(0, n) for n in used))]
    box = _open_box(logits, places, fusion)
    counts[0] += CERTAIN * (_histogram(levels) - _histogram(levels[box]))
    fallen = decay(fusion)
    for plane, values in zip(levels[box], _interpolated(logits, places, box, step)):
        behind = values.max(0) - values >> SHIFT
        # A class takes part down to the reach itself; what is less than an integer logit below it is out.
        part = values.max(0) - values <= fusion.lead_reach << SHIFT
        weights = np.where(part, fallen[np.minimum(behind, fusion.lead_reach)], 0).astype(np.int64)
        total = weights.sum(0)
        for number, weight in enumerate(weights):
            share = (CERTAIN * weight + total // 2) // total
            # Float64 holds these whole numbers exactly.
            counts[number] += np.bincount(plane.ravel(), share.ravel(), LEVELS).astype(np.int64)
    step(1.0)


def fuse_in_numpy(
    logits: np.ndarray,
    seen: np.ndarray,
    places: Places,
    levels: np.ndarray,
    fusion: Fusion,
    evidence: np.ndarray,
    labels: np.ndarray,
    step: Step,
) -> None:
    """Label voxels, slice by slice.

    Args:
        logits: int16 (classes, z, y, x).
        seen: uint8 (z, y, x), the part of the grid that covers the volume; the logits may have more.
        places: of z, y, x: what `places.positions` gives.
        levels: uint8 (z, y, x) on the source grid.
        fusion: of the model.
        evidence: uint8 (classes, 128).
        labels: uint8 (z, y, x), which is written.
        step: called with the share that is done, 0 to 1; may raise to stop.
    """
    logits = logits[(slice(None), *(slice(0, n) for n in seen.shape))]
    box = _open_box(logits, places, fusion)
    stacked = np.concatenate([logits, seen[None].astype(np.int16)])  # levels are interpolated as logits are
    labels[...] = 0
    slices = _interpolated(stacked, places, box, step)
    for target, here, values in zip(labels[box], levels[box], slices):
        known = values[-1] + (1 << SHIFT - 1) >> SHIFT
        target[...] = fused(values[:-1], here, known, fusion, evidence).argmax(0)
    step(1.0)


def fused(values: np.ndarray, here: np.ndarray, known: np.ndarray, fusion: Fusion, evidence: np.ndarray) -> np.ndarray:
    """Interpolated logits with their corrections.

    Args:
        values: int32 (classes, ...), logits times 2^18.
        here: levels of the voxels, 0 to 127.
        known: levels that are interpolated from the grid.
        fusion: of the model.
        evidence: uint8 (classes, 128).

    Returns:
        int32 as `values`; the least number there is for classes that take no part.
    """
    reach = fusion.lead_reach << SHIFT
    table = fusion.corrections.astype(np.int32)
    best = values.max(0)
    second = np.partition(values, -2, 0)[-2] if len(values) > 1 else best
    result = np.full_like(values, np.iinfo(np.int32).min)
    for number, own in enumerate(values):
        part = best - own <= reach
        own, top = own[part], best[part]
        # Where the best class is farther ahead it is alone, and its correction does not matter.
        lead = np.minimum(own - np.where(own == top, second[part], top), reach)
        place = lead.astype(np.int64) + reach >> SHIFT + fusion.lead_shift - LEAD_BITS
        before = np.minimum(place >> LEAD_BITS, fusion.leads - 2)
        weight = (place - (before << LEAD_BITS)).astype(np.int32)
        ratios = evidence[number][here[part]], evidence[number][known[part]]
        first, after = table[(*ratios, before)], table[(*ratios, before + 1)]
        result[number][part] = own + ((first * ((1 << LEAD_BITS) - weight) + after * weight) << SHIFT - LEAD_BITS)
    return result


def _histogram(levels: np.ndarray) -> np.ndarray:
    counts = np.zeros(LEVELS, np.int64)
    for plane in levels:
        counts += np.bincount(plane.ravel(), minlength=LEVELS)
    return counts


def _open_box(logits: np.ndarray, places: Places, fusion: Fusion) -> Box:
    """A box of source voxels; in all others, by all neighbours on the grid, the background alone takes part."""
    open_ = np.zeros(logits.shape[1:], np.bool_)
    for plane, found in zip(logits.swapaxes(0, 1), open_):  # all at once would be copied
        np.any(plane[1:] >= plane[0].astype(np.int32) - fusion.lead_reach, axis=0, out=found)
    occupied = [np.asarray(open_.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return tuple(extent(along, before) for along, (before, _) in zip(occupied, places))


def _interpolated(grid: np.ndarray, places: Places, box: Box, step: Step) -> Iterator[np.ndarray]:
    """Source slices of a box, int32 (channels, y, x), times 2^18, of an int16 grid (channels, z, y, x)."""
    (z_before, z_weight), *rest = ((before[part], weight[part]) for (before, weight), part in zip(places, box))
    rows: dict[int, np.ndarray] = {}  # grid slices, already interpolated along y and x
    for z, (before, weight) in enumerate(zip(z_before, z_weight)):
        wanted = {int(before), int(min(before + 1, grid.shape[1] - 1))}
        rows = {index: values for index, values in rows.items() if index in wanted}
        for index in wanted - set(rows):
            rows[index] = between(between(grid[:, index].astype(np.int32), *rest[0], 1), *rest[1], 2)
        step(z / len(z_before))
        yield rows[int(before)] * (ONE - weight) + rows[max(wanted)] * weight
