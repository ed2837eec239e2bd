"""Logits without those that no label depends on, so that what travels is smaller than the scan.

A cell is the room between eight neighbouring grid voxels; along an axis of one voxel they are the same one. Linear
interpolation multiplies the logits at its corners by weights that are not negative and not all zero, and a class beats
another where its logit is greater, or the same and its number lower. A class that another one beats at all eight
corners of a cell therefore wins nowhere in it. Beating is transitive, so the other may be taken to be one that none
beats so: the cell's labels are all among the classes that none beats at all corners, the cell's winners.

A voxel's list is the union of the winners of the up to eight cells around it. Its logits are sent for the classes in
its list alone, and of these only how far each is below the greatest one. `restore` sets the greatest to 8191, the
others below it accordingly, and all that are not in the list to 0. Why no label changes:

- To add one number to all logits of a voxel adds the same to all classes' sums, and changes no comparison. So let the
  full logits be shifted as well: the greatest of each voxel, which is a winner in all its cells, to 8191. As logits are
  of magnitude up to 4095, the least of them is then 1.
- In a cell, let c be the label of a place by the full logits. It is a winner, so it is in the lists of all eight
  corners, and its restored logits are the full ones there. Each other class has at each corner its full logit, or 0,
  which is less. So no class has a greater sum than before, c has its own, and c wins as it did, ties included.
- Sums stay exact: 8191 times 64 cubed is less than 2^31, so that int32 holds them.

Where a voxel's list has one class, that is all that is sent of it: in smooth structures most voxels. The brain model's
logits of 18 classes shrink to about a twentieth so, and to a hundredth once that is compressed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

import numpy as np

from LowResSegLib import kernels
from LowResSegLib.errors import InputError
from LowResSegLib.kernels import reduce as native
from LowResSegLib.model.plan import MAX_LOGIT

_BEST = 2 * MAX_LOGIT + 1  # so that what is listed is above 0, which memory has that nobody touched
_MAX_CLASSES = 255
_LISTS = 0.9  # share of the work of reducing that finding the lists is
_CORNERS = tuple(itertools.product((0, 1), repeat=3))


@dataclass(frozen=True, eq=False)
class Reduced:
    """What is left of logits. A voxel is mixed where its list has more classes than one.

    Attributes:
        classes: number of classes.
        winners: uint8 (z, y, x), the class of the greatest logit, the lower of two.
        mixed: bool (z, y, x).
        lists: uint8 (bytes, mixed voxels in the array's order): bit c % 8 of byte c // 8 is set where class c is in the
            voxel's list and is not its winner.
        below: uint16, how far those classes' logits are below the winner's: class by class, of each all mixed voxels in
            whose list it is, in order.
    """

    classes: int
    winners: np.ndarray
    mixed: np.ndarray
    lists: np.ndarray
    below: np.ndarray


def reduce(
    logits: np.ndarray,
    size: tuple[int, ...],
    threads: Optional[int] = None,
    step: Optional[Callable[[float], None]] = None,
) -> Reduced:
    """Leave out the logits that no label depends on.

    Args:
        logits: int16 (classes, z, y, x) on the padded grid, of magnitude up to 4095, up to 255 classes.
        size: the part of the grid, (z, y, x), that covers the volume; `sampling.LowResolution.size`.
        threads: at most so many for the native kernel; None means all cores.
        step: called again and again with the share that is done, 0 to 1; may raise to stop.
    """
    report = step or (lambda share: None)
    if kernels.available():
        return Reduced(len(logits), *native.reduce(logits, size, threads, report))
    return reduce_in_numpy(logits[(slice(None), *(slice(0, n) for n in size))], report)


def reduce_in_numpy(used: np.ndarray, report: Callable[[float], None]) -> Reduced:
    """What `reduce` does, of the used part of the grid alone; see there."""
    winners, lists = _lists_of(used, lambda share: report(_LISTS * share))
    mixed = np.bitwise_or.reduce(lists, axis=0) > 0
    places = np.flatnonzero(mixed.ravel())
    chosen = np.ascontiguousarray(lists.reshape(len(lists), -1)[:, places])
    best = used.max(0).ravel()[places]
    parts = []
    for number in range(len(used)):
        listed = np.flatnonzero(chosen[number // 8] & (1 << number % 8))
        parts.append((best[listed] - used[number].ravel()[places[listed]]).astype(np.uint16))
        report(_LISTS + (1 - _LISTS) * (number + 1) / len(used))
    return Reduced(len(used), winners, mixed, chosen, np.concatenate(parts))


def _lists_of(used: np.ndarray, step: Callable[[float], None]) -> tuple[np.ndarray, np.ndarray]:
    """Winners, and the lists of all voxels, uint8 (bytes, z, y, x), of the used part of the grid."""
    classes, shape = len(used), used.shape[1:]
    best, winners = used[0].copy(), np.zeros(shape, np.uint8)
    for number in range(1, classes):
        better = used[number] > best
        winners[better] = number
        np.maximum(best, used[number], out=best)
    lists = np.zeros((-(-classes // 8), *shape), np.uint8)
    cells = tuple(max(n - 1, 1) for n in shape)
    for z in range(cells[0]):  # a layer at a time: eight corners of all classes are large
        _mark_layer(used, winners, lists, z, cells)
        step((z + 1) / cells[0])
    own = np.arange(len(lists)).reshape(-1, 1, 1, 1) == winners // 8
    lists &= ~np.where(own, np.uint8(1) << winners % 8, np.uint8(0)).astype(np.uint8)
    return winners, lists


def _mark_layer(used: np.ndarray, winners: np.ndarray, lists: np.ndarray, z: int, cells: tuple[int, ...]) -> None:
    """Set the bits of the winners of a layer of cells at all their corners."""
    first = winners[z, : cells[1], : cells[2]]
    several = np.zeros(first.shape, np.bool_)
    corners = []
    for corner in _CORNERS:
        at = [min(z + corner[0], used.shape[1] - 1)]
        along = [
            slice(c, c + n) if size > 1 else slice(0, 1) for c, n, size in zip(corner[1:], cells[1:], used.shape[2:])
        ]
        corners.append((*at, *along))
        several |= winners[corners[-1]] != first
    if not several.any():
        return
    # Equal logits differ by their number: the key of the lower class is greater.
    order = np.arange(len(used), dtype=np.int32)[:, None]
    keys = np.stack([used[(slice(None), *corner)][:, several].astype(np.int32) * 256 - order for corner in corners])
    # What is everywhere less than another one's least value is beaten; what is left is compared pair by pair.
    wins = keys.max(0) >= keys.min(0).max(0)
    for number in range(len(used)):
        places = np.flatnonzero(wins[number])
        for other in range(len(used)):
            if len(places) and other != number:
                rivals = places[wins[other, places]]
                beaten = (keys[:, other, rivals] > keys[:, number, rivals]).all(0)
                wins[number, rivals[beaten]] = False
                places = places[wins[number, places]]
    bits = np.packbits(wins, axis=0, bitorder="little")
    for corner in corners:
        for byte, plane in zip(bits, lists):
            plane[corner][several] |= byte


def restore(
    reduced: Reduced, threads: Optional[int] = None, step: Optional[Callable[[float], None]] = None
) -> np.ndarray:
    """Logits that have the labels of the full ones when they are interpolated linearly.

    Args:
        reduced: as `reduce` gave it, or as it came over a network.
        threads: at most so many for the native kernel; None means all cores.
        step: called with the share that is done, 0 to 1; may raise to stop.

    Returns:
        int16 (classes, z, y, x), where (z, y, x) is the `size`, from 0 to 8191.

    Raises:
        InputError: the parts do not fit each other.
    """
    report = step or (lambda share: None)
    if kernels.available() and reduced.winners.size:
        _check_shapes(reduced)
        parts = (reduced.winners, reduced.mixed, reduced.lists, reduced.below)
        logits = native.restore(reduced.classes, *parts, threads, report)
        if logits is None:
            raise _damaged()
        return logits
    return restore_in_numpy(reduced, report)


def restore_in_numpy(reduced: Reduced, report: Callable[[float], None]) -> np.ndarray:
    """What `restore` does; see there."""
    check(reduced)
    shape, voxels = reduced.winners.shape, reduced.winners.size
    logits = np.zeros((reduced.classes, voxels), np.int16)
    logits.ravel()[reduced.winners.ravel().astype(np.int64) * voxels + np.arange(voxels)] = _BEST
    places = np.flatnonzero(reduced.mixed.ravel())
    begin = 0
    for number, plane in enumerate(logits):
        listed = places[np.flatnonzero(reduced.lists[number // 8] & (1 << number % 8))]
        plane[listed] = _BEST - reduced.below[begin : begin + len(listed)].astype(np.int32)
        begin += len(listed)
        report((number + 1) / reduced.classes)
    return logits.reshape(reduced.classes, *shape)


def check(reduced: Reduced) -> None:
    """Raise InputError where the parts of reduced logits do not fit each other, as in a damaged answer."""
    _check_shapes(reduced)
    classes, winners, lists, below = reduced.classes, reduced.winners, reduced.lists, reduced.below
    fits = (
        lists.shape[1] == int(np.count_nonzero(reduced.mixed))
        and int(winners.max(initial=0)) < classes
        and int(below.max(initial=0)) <= 2 * MAX_LOGIT
        and (classes % 8 == 0 or not (lists[-1] >> classes % 8).any())
    )
    if fits:
        ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1)
        # A winner that is listed as well would get a second value.
        own = winners[reduced.mixed]
        doubled = (lists[own // 8, np.arange(len(own))] & (np.uint8(1) << own % 8)).any()
        fits = not doubled and len(below) == int(ones[lists].sum())
    if not fits:
        raise _damaged()


def _check_shapes(reduced: Reduced) -> None:
    """Raise InputError where types and shapes alone tell that the parts do not fit each other."""
    winners, lists, below = reduced.winners, reduced.lists, reduced.below
    fits = (
        1 <= reduced.classes <= _MAX_CLASSES
        and winners.ndim == 3
        and winners.dtype == lists.dtype == np.uint8
        and reduced.mixed.dtype == np.bool_
        and reduced.mixed.shape == winners.shape
        and lists.ndim == 2
        and len(lists) == -(-reduced.classes // 8)
        and lists.shape[1] <= winners.size
        and below.dtype == np.uint16
        and below.ndim == 1
    )
    if not fits:
        raise _damaged()


def _damaged() -> InputError:
    return InputError("Reduced logits are damaged: their parts do not fit each other.")
